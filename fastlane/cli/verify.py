"""The command ``fastlane verify``: checks receipts with the key alone, and the chains of a task against what its server has stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect, with_options
from fastlane.cli.client.output import echo
from fastlane.cli.common import CONFIG, load_settings, say


@click.command("verify", cls=ClientCommand)
@click.argument("what", metavar="FILE|TASK")
@with_options(CONFIG)
@click.option("--keys", metavar="FILE", help="A file with the keys; without it, receipt_keys of the settings. For a FILE.")
@click.option("--log", "log_file", metavar="FILE", help="Check that this file is the log that the receipt is about. For a FILE.")
@click.option("--job", metavar="ID", help="Only this job of the task.")
@CONTEXT
@click.pass_context
def verify(
    ctx: click.Context, what: str, config: str | None, keys: str | None, log_file: str | None, job: str | None, context: str | None
) -> None:
    """Verifies a receipt, or all receipts of a task. A FILE is a receipt as `fastlane receipt` writes it, and is checked here, with the
    keys and without a server. Of a TASK, the server compares each seal with what is stored, and the chain with itself.

    Ends with 0 when all is as it was sealed, else with 1 and a line for each fault.

    \b
    Examples:
      fastlane verify backup-2026-03-03.json --keys /run/secrets/receipt_keys
      fastlane verify backup-2026-03-03.json --log backup.log
      fastlane verify backup
    """
    if Path(what).is_file():
        found = _of_file(Path(what), _secrets(keys, config), None if log_file is None else Path(log_file))
    elif what.endswith(".json") or keys is not None or log_file is not None:
        raise click.UsageError(f"there is no file {what}")
    else:
        with connect(context) as client:
            found = _of_task(client, what, job)
    ctx.exit(1 if found else 0)


def _secrets(keys: str | None, config: str | None) -> tuple[str, ...]:
    """The keys of a file, or else of the settings."""
    from fastlane.config import types

    if keys is None:
        secrets = load_settings(config, None).receipt_keys
        if not secrets:
            raise click.UsageError("give the keys with --keys FILE, or set receipt_keys")
        return secrets
    try:
        return tuple(types.RECEIPT_KEYS.read(Path(keys).read_text("utf-8")))
    except (OSError, UnicodeDecodeError):
        raise click.UsageError(f"--keys: {keys} cannot be read as text") from None
    except ValueError as error:
        raise click.UsageError(f"--keys: the file {error}") from None


def _of_file(path: Path, secrets: tuple[str, ...], log_file: Path | None) -> int:
    from fastlane.receipt_file import check_file, lines_of

    try:
        document, faults = check_file(path, secrets, log_file)
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    for fault in faults:
        say(f"{path}: {fault}")
    for line in () if faults else lines_of(document):
        echo(line)
    return len(faults)


def _of_task(client: Any, task: str, job: str | None) -> int:
    faults = 0
    jobs = [job] if job is not None else list(_jobs(client, task))
    if not jobs:
        say(f"the task {task} has no receipts")
        return 1
    for one in jobs:
        counts, start = {"seals": 0, "removed": 0, "faults": 0}, None
        while True:
            part = client.jobs.check_receipts(task, one, start=start)
            counts["seals"] += part["seals"]
            counts["removed"] += part["removed"]
            counts["faults"] += len(part["faults"])
            for fault in part["faults"]:
                say(f"{task}/{one}: {fault['where']}: {fault['what']}")
            start = part["next"]
            if start is None:
                break
        faults += counts["faults"]
        gone = f", {counts['removed']:,} of rows that retention or a deletion removed" if counts["removed"] else ""
        echo(f"{task}/{one}: {counts['seals']:,} seals{gone}; {counts['faults']:,} faults")
    return faults


def _jobs(client: Any, task: str) -> Iterator[str]:
    after = None
    while True:
        page = client.jobs.receipt_chains(task, after=after)
        yield from (row["jobId"] for row in page["items"])
        after = page["next"]
        if after is None:
            return
