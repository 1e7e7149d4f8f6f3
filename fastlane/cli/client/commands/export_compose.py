"""``fastlane export --compose``: a job as the ``jobs:`` of a compose file."""

import sys
from pathlib import Path

import click

from fastlane.cli.client.command import connect, message_of, say
from fastlane.cli.client.output import printable_yaml
from fastlane.cli.client.reference import find_job


def export_compose(job: str, output: Path | None) -> None:
    """Writes the job to a file, or to standard output."""
    from fastlane.cli.client.compose_export import compose_of
    from fastlane.client import ClientError

    try:
        with connect(None) as client:
            name = find_job(client, job)
            found = client.jobs.get(name.task, name.id)["job"]
    except ClientError as error:
        say(message_of(error))
        sys.exit(1)
    if found["definition"].get("cron") is None and not found["definition"].get("manual"):
        say(f"{name} ran once, or runs once; a compose file has jobs with a schedule, and those that are run by hand")
        sys.exit(1)
    content, variables = compose_of({**found, "taskId": name.task})
    text = printable_yaml(content)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            say(f"{output} cannot be written: {error.strerror}")
            sys.exit(1)
    if variables:
        say(f"the server does not show some values; set {', '.join(variables)} before you apply the file")
