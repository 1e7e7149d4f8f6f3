"""The command group ``fastlane``.

Exit codes: 0 for success, 1 for a failure, 2 for wrong settings or options.
"""

import click

from fastlane import __version__
from fastlane.cli.config import show_config
from fastlane.cli.credentials import password, token
from fastlane.cli.servers import api, up, worker
from fastlane.cli.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="fastlane %(version)s", help="Show the version and exit.")
def main() -> None:
    """Runs commands in containers on Docker Swarm: now, later or on a schedule, for anyone who can send an HTTP request.

    \b
    Examples:
      fastlane up                           everything on this machine, at http://127.0.0.1:10000
      fastlane config                       every setting, its value and where it comes from
      fastlane api --config prod.toml       the HTTP server of a larger installation
      fastlane worker --config prod.toml    a worker, which runs jobs; start any number
      fastlane token                        a token for a user, and its hash for the settings

    \b
    Once `fastlane up` runs, start your first job:
      curl -X POST -d '{"image": "ubuntu", "command": "ls"}' http://127.0.0.1:10000/tasks/test
    """


for command in (up, api, worker, show_config, password, token, version):
    main.add_command(command)
