"""The command group ``fastlane``.

Exit codes: 0 for success, 1 for a failure, 2 for wrong settings or options. ``fastlane run`` has its own.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from fastlane import __version__


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: where it is (``module:name``), its line in the help, and the section of that."""

    place: str
    help: str
    section: str


class LazyGroup(click.Group):
    """A group of entries by the names of their commands."""

    def __init__(self, *, entries: Mapping[str, Entry], **options: Any) -> None:
        super().__init__(**options)
        self.entries = entries

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

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, and names the nearest command to one that is unknown."""
        if args[0] not in self.entries and not ctx.resilient_parsing and (near := get_close_matches(args[0], self.entries, 1)):
            ctx.fail(f"there is no command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by sections, without importing any."""
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            with formatter.section(section):
                formatter.write_dl([(name, entry.help) for name, entry in self.entries.items() if entry.section == section])


JOBS, LOOK, CONTROL, SERVER, FILES = "Run jobs", "Look", "Control", "Servers", "Schedules in files, and this command"


COMMANDS = {
    "run": Entry("fastlane.cli.client.commands.run:run", "Run a command in a container, follow it, pass on its exit code.", JOBS),
    "schedule": Entry("fastlane.cli.client.commands.schedule:schedule", "Run a command later, or again and again.", JOBS),
    "ps": Entry("fastlane.cli.client.commands.listings:ps", "What runs and what waits.", LOOK),
    "tasks": Entry("fastlane.cli.client.commands.listings:tasks", "All tasks.", LOOK),
    "jobs": Entry("fastlane.cli.client.commands.listings:jobs", "Jobs, their schedules and how they are.", LOOK),
    "ticks": Entry("fastlane.cli.client.commands.listings:ticks", "What became of each due time of a job.", LOOK),
    "logs": Entry("fastlane.cli.client.commands.logs:logs", "What a job writes.", LOOK),
    "events": Entry("fastlane.cli.client.commands.events:events", "Who did what, and what fastlane did.", LOOK),
    "deliveries": Entry("fastlane.cli.client.commands.events:deliveries", "What webhooks were told, and whether they took it.", LOOK),
    "why": Entry("fastlane.cli.client.commands.details:why", "What a job waits for, or how it ended.", LOOK),
    "inspect": Entry("fastlane.cli.client.commands.details:inspect", "A job in full, as JSON.", LOOK),
    "open": Entry("fastlane.cli.client.commands.details:open_page", "The page of a job's log, in the browser.", LOOK),
    "stop": Entry("fastlane.cli.client.commands.control:stop", "Stop a job.", CONTROL),
    "retry": Entry("fastlane.cli.client.commands.control:retry", "Run a job's last execution again.", CONTROL),
    "run-now": Entry("fastlane.cli.client.commands.control:run_now", "Run a job once now.", CONTROL),
    "pause": Entry("fastlane.cli.client.commands.control:pause", "Hold a job's schedule.", CONTROL),
    "resume": Entry("fastlane.cli.client.commands.control:resume", "Release a job's schedule.", CONTROL),
    "redeliver": Entry("fastlane.cli.client.commands.events:redeliver", "Have a webhook told again.", CONTROL),
    "rm": Entry("fastlane.cli.client.commands.control:rm", "Remove a job with its history.", CONTROL),
    "status": Entry("fastlane.cli.client.commands.details:status", "How the server is.", SERVER),
    "pools": Entry("fastlane.cli.client.commands.listings:pools", "Pools, their limits and what runs there.", SERVER),
    "hosts": Entry("fastlane.cli.client.commands.hosts:hosts", "Docker hosts: list, add, drain and remove them.", SERVER),
    "dispatch": Entry("fastlane.cli.client.commands.control:dispatch", "Hold and release all that waits.", SERVER),
    "repair": Entry("fastlane.cli.client.commands.repair:repair", "Put right by hand what fastlane cannot.", SERVER),
    "reload": Entry("fastlane.cli.client.commands.control:reload", "Read the pools from the settings again.", SERVER),
    "up": Entry("fastlane.cli.servers:up", "Run all of fastlane in one process.", SERVER),
    "api": Entry("fastlane.cli.servers:api", "Serve HTTP.", SERVER),
    "worker": Entry("fastlane.cli.servers:worker", "Run jobs on the Docker hosts.", SERVER),
    "check": Entry("fastlane.cli.servers:check", "Check whether the up, api or worker here works, for health checks.", SERVER),
    "export": Entry("fastlane.cli.store:export_store", "Write all that the store keeps to a file.", SERVER),
    "prune": Entry("fastlane.cli.store:prune", "Remove old history from the store now.", SERVER),
    "compact": Entry("fastlane.cli.store:compact", "Return the free space of the SQLite file to the disk.", SERVER),
    "import": Entry("fastlane.cli.store:import_store", "Fill an empty store from such a file.", SERVER),
    "config": Entry("fastlane.cli.config:show_config", "Show every setting.", SERVER),
    "password": Entry("fastlane.cli.config:password", "Hash a password for the settings.", SERVER),
    "token": Entry("fastlane.cli.config:token", "Make a bearer token.", SERVER),
    "apply": Entry("fastlane.cli.client.commands.apply:apply", "Make the schedules on the server those of a file.", FILES),
    "diff": Entry("fastlane.cli.client.commands.apply:diff", "What apply would change.", FILES),
    "import-crontab": Entry("fastlane.cli.client.commands.crontab:import_crontab", "Write such a file from a crontab.", FILES),
    "context": Entry("fastlane.cli.client.commands.contexts:context", "Which server is asked, and as whom.", FILES),
    "completion": Entry("fastlane.cli.client.completion:completion", "Completion for bash, zsh and fish.", FILES),
    "version": Entry("fastlane.cli.main:version", "Show the version.", FILES),
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
