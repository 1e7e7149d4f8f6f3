"""The command ``fastlane import-ofelia``."""

import sys
from typing import Any

import click

from fastlane.cli.client.command import say
from fastlane.cli.client.output import printable_yaml


@click.command("import-ofelia")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--image", help="The image for jobs that ran in another container, or on Ofelia's machine.")
@click.option("--set", "set_name", default="ofelia", show_default=True, help="The name of the set.")
@click.option("--task", help="The task of all jobs; the set's name unless given.")
@click.option("--timezone", metavar="ZONE", help="The zone of Ofelia's container.")
def import_ofelia(file: Any, image: str | None, set_name: str, task: str | None, timezone: str | None) -> None:
    """Writes a file for `fastlane apply` from Ofelia's config.ini, or from Ofelia's labels in a compose file. What becomes of each job is
    said on stderr, and what cannot be carried over is left out. `fastlane import ofelia` is the same.

    \b
    Examples:
      fastlane import-ofelia config.ini > jobs.yaml
      fastlane import-ofelia --image ubuntu --timezone Europe/Berlin config.ini
      fastlane import-ofelia compose.yaml
    """
    from fastlane.cli.client.ofelia_file import jobs_of_ofelia, read_ofelia
    from fastlane.cli.client.yaml_text import FileFault

    try:
        jobs = jobs_of_ofelia(read_ofelia(file.read()), image, say)
    except (FileFault, UnicodeDecodeError) as error:
        for line in str(error).splitlines():
            say(f"{file.name}: {line}")
        sys.exit(2)
    defaults = {"task": task or set_name, **({"timezone": timezone} if timezone else {})}
    content = {"set": set_name, "defaults": defaults, "jobs": jobs}
    click.echo(printable_yaml(content), nl=False)
