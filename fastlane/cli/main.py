"""The command group ``fastlane``: a table of all commands, each imported when it is called.

Exit codes: 0 for success, 1 for a failure, 2 for wrong settings or options. ``fastlane run`` has its own.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from fastlane import __version__
from fastlane.cli.client.command import ForgivingGroup


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command: where it is (``module:name``), its line in the help, and its section there."""

    place: str
    help: str
    section: str


IMPORTS = ("import-crontab", "import-ofelia")
"""What may also be written in two words, though ``import`` is a command itself."""


class LazyGroup(ForgivingGroup):
    """A group that imports a command when it is called. ``entries``: by the names of the commands."""

    def __init__(self, *, entries: Mapping[str, CommandEntry], **options: Any) -> None:
        super().__init__(**options)
        self.entries = entries

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Takes ``import ofelia FILE`` for ``import-ofelia FILE``, and the same of a crontab."""
        joined = "-".join(args[:2])
        return super().resolve_command(ctx, [joined, *args[2:]] if joined in IMPORTS and len(args) > 2 else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, name = entry.place.split(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by sections, without importing any."""
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            with formatter.section(section):
                formatter.write_dl([(name, entry.help) for name, entry in self.entries.items() if entry.section == section])


JOBS, LOOK, CONTROL, SERVER, FILES = "Run jobs", "Look", "Control", "Servers", "Schedules in files, and this command"


COMMANDS = {
    "run": CommandEntry("fastlane.cli.client.commands.run:run", "Run a command in a container, follow it, pass on its exit code.", JOBS),
    "schedule": CommandEntry("fastlane.cli.client.commands.run:schedule", "Run a command later, or again and again.", JOBS),
    "ps": CommandEntry("fastlane.cli.client.commands.listings:ps", "What runs and what waits.", LOOK),
    "tasks": CommandEntry("fastlane.cli.client.commands.listings:tasks", "All tasks.", LOOK),
    "jobs": CommandEntry("fastlane.cli.client.commands.listings:jobs", "Jobs, their schedules and how they are.", LOOK),
    "failures": CommandEntry("fastlane.cli.client.commands.listings:failures", "The last failure of each job, and why.", LOOK),
    "ticks": CommandEntry("fastlane.cli.client.commands.listings:ticks", "What became of each due time of a job.", LOOK),
    "forecast": CommandEntry("fastlane.cli.client.commands.forecast:forecast", "What will be due, and how full the pools will be.", LOOK),
    "stats": CommandEntry("fastlane.cli.client.commands.trends:stats", "What a job's runs took: time, memory, processor, output.", LOOK),
    "advise": CommandEntry("fastlane.cli.client.commands.trends:advise", "What to change in jobs, by what their runs took.", LOOK),
    "usage": CommandEntry("fastlane.cli.client.commands.trends:usage", "What labels, tasks or pools used of the hosts.", LOOK),
    "logs": CommandEntry("fastlane.cli.client.commands.logs:logs", "What a job writes.", LOOK),
    "grep": CommandEntry("fastlane.cli.client.commands.grep:grep", "Lines in the logs of many runs.", LOOK),
    "events": CommandEntry("fastlane.cli.client.commands.events:events", "Who did what, and what fastlane did.", LOOK),
    "deliveries": CommandEntry(
        "fastlane.cli.client.commands.events:deliveries", "What was sent by webhook and mail, and whether it was taken.", LOOK
    ),
    "why": CommandEntry("fastlane.cli.client.commands.details:why", "What a job waits for, or how it ended.", LOOK),
    "inspect": CommandEntry("fastlane.cli.client.commands.details:inspect", "A job in full, as JSON.", LOOK),
    "open": CommandEntry("fastlane.cli.client.commands.details:open_page", "The page of a job's log, in the browser.", LOOK),
    "receipt": CommandEntry("fastlane.cli.client.commands.receipts:receipt", "What proves that a run happened, and how it ended.", LOOK),
    "verify": CommandEntry("fastlane.cli.verify:verify", "Check a receipt, or all receipts of a task.", LOOK),
    "stop": CommandEntry("fastlane.cli.client.commands.control:stop", "Stop a job.", CONTROL),
    "retry": CommandEntry("fastlane.cli.client.commands.control:retry", "Run a job's last execution again, or any.", CONTROL),
    "run-now": CommandEntry("fastlane.cli.client.commands.control:run_now", "Run a job once now.", CONTROL),
    "backfill": CommandEntry("fastlane.cli.client.commands.backfill:backfill", "Run due times that have no success.", CONTROL),
    "start": CommandEntry("fastlane.cli.client.commands.changes:start", "Start a stopped job's schedule again.", CONTROL),
    "edit": CommandEntry("fastlane.cli.client.commands.changes:edit", "Change a job in your editor.", CONTROL),
    "set": CommandEntry("fastlane.cli.client.commands.changes:set_fields", "Change fields of a job.", CONTROL),
    "pause": CommandEntry("fastlane.cli.client.commands.control:pause", "Hold a job's schedule.", CONTROL),
    "resume": CommandEntry("fastlane.cli.client.commands.control:resume", "Release a job's schedule.", CONTROL),
    "redeliver": CommandEntry("fastlane.cli.client.commands.events:redeliver", "Send a webhook or a mail again.", CONTROL),
    "rm": CommandEntry("fastlane.cli.client.commands.control:rm", "Remove a job with its history.", CONTROL),
    "status": CommandEntry("fastlane.cli.client.commands.details:status", "How the server is.", SERVER),
    "pools": CommandEntry("fastlane.cli.client.commands.listings:pools", "Pools, their limits and what runs there.", SERVER),
    "hosts": CommandEntry("fastlane.cli.client.commands.hosts:hosts", "Docker hosts: list, add, drain and remove them.", SERVER),
    "dispatch": CommandEntry("fastlane.cli.client.commands.control:dispatch", "Hold and release all that waits.", SERVER),
    "repair": CommandEntry("fastlane.cli.client.commands.control:repair", "Put right by hand what fastlane cannot.", SERVER),
    "reload": CommandEntry("fastlane.cli.client.commands.control:reload", "Read the pools from the settings again.", SERVER),
    "up": CommandEntry("fastlane.cli.servers:up", "Run all of fastlane in one process.", SERVER),
    "api": CommandEntry("fastlane.cli.servers:api", "Serve HTTP.", SERVER),
    "calendars": CommandEntry(
        "fastlane.cli.client.commands.calendars:calendars", "Calendars of dates that jobs skip: list, show, put and delete them.", SERVER
    ),
    "worker": CommandEntry("fastlane.cli.servers:worker", "Run jobs on the Docker hosts.", SERVER),
    "check": CommandEntry("fastlane.cli.servers:check", "Check whether the up, api or worker here works, for health checks.", SERVER),
    "export": CommandEntry("fastlane.cli.store:export_store", "Write all that the store keeps to a file.", SERVER),
    "prune": CommandEntry("fastlane.cli.store:prune", "Remove old history from the store now.", SERVER),
    "compact": CommandEntry("fastlane.cli.store:compact", "Return the free space of the SQLite file to the disk.", SERVER),
    "import": CommandEntry("fastlane.cli.store:import_store", "Fill an empty store from such a file.", SERVER),
    "config": CommandEntry("fastlane.cli.config:show_config", "Show every setting.", SERVER),
    "password": CommandEntry("fastlane.cli.config:password", "Hash a password for the settings.", SERVER),
    "token": CommandEntry("fastlane.cli.config:token", "Make a bearer token.", SERVER),
    "apply": CommandEntry("fastlane.cli.client.commands.apply:apply", "Make the schedules on the server equal to a file.", FILES),
    "diff": CommandEntry("fastlane.cli.client.commands.apply:diff", "What apply would change.", FILES),
    "import-crontab": CommandEntry("fastlane.cli.client.commands.apply:import_crontab", "Write such a file from a crontab.", FILES),
    "import-ofelia": CommandEntry(
        "fastlane.cli.client.commands.apply:import_ofelia", "Write such a file from Ofelia's file or labels.", FILES
    ),
    "mcp": CommandEntry("fastlane.cli.client.commands.mcp:mcp", "Let a program that talks use the server, over stdio.", FILES),
    "context": CommandEntry("fastlane.cli.client.commands.contexts:context", "Which server is asked, and as whom.", FILES),
    "completion": CommandEntry("fastlane.cli.client.reference:completion", "Completion for bash, zsh and fish.", FILES),
    "version": CommandEntry("fastlane.cli.main:version", "Show the version.", FILES),
}


@click.group(cls=LazyGroup, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="fastlane %(version)s", help="Show the version and exit.")
def main() -> None:
    """Runs commands in containers on Docker Swarm: now, later or on a schedule.

    \b
    Examples:
      fastlane up                                         everything on this machine, at http://127.0.0.1:10000
      fastlane run ubuntu -- ls -lah                      run a command, and see what it writes
      fastlane schedule --cron "0 3 * * *" ubuntu -- ls   run it every night
      fastlane ps                                         what runs and what waits
      fastlane config                                     every setting, its value and where it comes from
      fastlane api --config prod.toml                     the HTTP server of a larger installation
      fastlane worker --config prod.toml                  a worker, which runs jobs; start any number

    \b
    The commands ask the server at http://127.0.0.1:10000, or where FASTLANE_URL says; see `fastlane context --help`.
    """


@click.command()
@click.option("--verbose", is_flag=True, help="Show the Python version and the platform too.")
def version(verbose: bool) -> None:
    """Shows the version of fastlane.

    \b
    Example:
      fastlane version --verbose
    """
    python = f" (Python {platform.python_version()}, {platform.platform()})" if verbose else ""
    click.echo(f"fastlane {__version__}{python}")
