"""The command ``fastlane verify``: checks receipts and exports with the keys alone, and chains against what a server has stored."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect, with_options
from fastlane.cli.client.commands.receipts import ChainReport, NotedChain, check_by_server
from fastlane.cli.client.output import echo
from fastlane.cli.common import CONFIG, load_settings, say
from fastlane.errors import FastlaneError, NotFound

GZIP = b"\x1f\x8b"
EXPORT = b'{"export":'
"""The first bytes of an export, packed or not."""


@click.command("verify", cls=ClientCommand)
@click.argument("what", metavar="[FILE|TASK]", required=False)
@with_options(CONFIG)
@click.option("--keys", metavar="FILE", help="A file with the keys; without it, receipt_keys of the settings. For a FILE.")
@click.option("--log", "log_file", metavar="FILE", help="Check that this file is the log that the receipt is about. For a receipt.")
@click.option("--job", metavar="ID", help="Only this job of the task.")
@click.option("--since", metavar="FILE", help="Check, too, that each chain still has what this receipt, or this file of --save, says.")
@click.option("--save", metavar="FILE", help="Write where each chain ends to this file, to keep it elsewhere for --since.")
@CONTEXT
@click.pass_context
def verify(ctx: click.Context, /, what: str | None, config: str | None, keys: str | None, context: str | None, **more: str | None) -> None:
    """Verifies a receipt, an export, the receipts of a task, or all. A FILE is a receipt as `fastlane receipt` writes it, or an export, and
    is checked here, with the keys and without a server. Of a TASK, and without an argument of all tasks, the server compares each seal with
    what is stored, and the chains with themselves and with each other.

    Ends with 0 when all is as it was sealed, else with 1 and a line for each fault.

    \b
    Examples:
      fastlane verify backup-2026-03-03.json --keys /run/secrets/receipt_keys
      fastlane verify backup-2026-03-03.json --log backup.log
      fastlane verify fastlane.jsonl.gz --keys /run/secrets/receipt_keys
      fastlane verify backup --since backup-2026-03-03.json
      fastlane verify --save chains.json
    """
    job, since, save, log_file = more["job"], more["since"], more["save"], more["log_file"]
    path = Path(what) if what is not None and Path(what).is_file() else None
    if path is None and (keys is not None or log_file is not None or (what or "").endswith((".json", ".jsonl", ".gz"))):
        raise click.UsageError(f"there is no file {what}")
    report = ChainReport({} if since is None else _read_noted(Path(since)))
    if path is not None and _is_export(path):
        asyncio.run(_of_export(path, _secrets(keys, config), report))
    elif path is not None:
        report.faults = _of_receipt(path, _secrets(keys, config), None if log_file is None else Path(log_file))
    else:
        with connect(context) as client:
            check_by_server(client, what, job, report)
    if save is not None:
        rows = [{"taskId": one.task, "jobId": id, "number": one.number, "digest": one.digest} for id, one in report.chains.items()]
        _write(Path(save), json.dumps({"chains": rows}, indent=1) + "\n")
    ctx.exit(1 if report.faults else 0)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise click.UsageError(f"--save: {error.filename}: {error.strerror}") from None


def _read_noted(path: Path) -> dict[str, NotedChain]:
    """Where chains ended once, by job: from a receipt, or from a file of ``--save``."""
    try:
        document = json.loads(path.read_bytes())
        if "chains" in document:
            return {row["jobId"]: NotedChain(row["taskId"], row["number"], row["digest"]) for row in document["chains"] if row["number"]}
        return {document["job"]: NotedChain(document["task"], document["number"], document["digest"])}
    except OSError as error:
        raise click.UsageError(f"--since: {error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise click.UsageError(f"--since: {path} is neither a receipt nor a file that --save wrote") from None


def _is_export(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(EXPORT)).startswith((GZIP, EXPORT))
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None


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


def _of_receipt(path: Path, secrets: tuple[str, ...], log_file: Path | None) -> int:
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


async def _of_export(path: Path, secrets: tuple[str, ...], report: ChainReport) -> None:
    """Fills a store of its own, in a temporary folder, from the export, and checks all chains there."""
    from fastlane.app import make_receipts, make_scratch_store, make_seal_keys, opened
    from fastlane.storage.transfer.files import Importer
    from fastlane.storage.transfer.lines import check, read

    keys, is_whole = make_seal_keys(secrets), True
    try:
        fault = check(path, lambda _: None).fault(keys)
    except FastlaneError as error:
        fault, is_whole = str(error), False
    if fault is not None:
        report.fault("the file", fault)
    with tempfile.TemporaryDirectory(prefix="fastlane-verify-") as folder:
        async with opened(make_scratch_store(Path(folder))) as store:
            importer = Importer(store, as_exported=True)
            await importer.prepare()
            try:
                for line in read(path):
                    await importer.add(line)
                await importer.finish()
            except FastlaneError as error:
                if is_whole:
                    report.fault("the file", str(error))
            receipts = make_receipts(store, keys, importer.started_at)
            for job, end in importer.ends.items():
                report.chains[job] = NotedChain(*end)
                await _check_stored(receipts, end[0], job, report)
    for job, noted in report.noted.items():
        if job not in importer.ends:
            report.fault(f"{noted.task}/{job}", "has no chain in this file")
    if not report.seals:
        report.fault(f"{path}", "has no receipts: they are in an export with logs, of an installation with receipt_keys")


async def _check_stored(receipts: Any, task: str, job: str, report: ChainReport) -> None:
    name, noted, start = f"{task}/{job}", report.noted.get(job), None
    seals, removed, faults = 0, 0, report.faults
    while True:
        try:
            part = await receipts.check(task, job, start, (noted.number, noted.digest) if noted is not None and start is None else None)
        except NotFound as error:  # the import ended before it
            report.fault(name, str(error))
            return
        seals += part.seals
        removed += part.removed
        for fault in part.faults:
            report.fault(name, f"{fault.where}: {fault.what}")
        start = part.next
        if start is None:
            report.job(name, seals, removed, report.faults - faults)
            return
