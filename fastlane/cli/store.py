"""The commands that work on the store itself: ``fastlane prune`` and ``compact`` remove old history and return its space to the disk,
``fastlane export`` and ``import`` write all of the store to a file and fill an empty store from it."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastlane import __version__
from fastlane.cli.client.command import with_options
from fastlane.cli.common import CONFIG, DATA_DIR, check_store, load_settings, run_or_exit, say
from fastlane.errors import FastlaneError, TransientError

if TYPE_CHECKING:
    from fastlane.config.settings import Settings
    from fastlane.storage.transfer.files import Summary
    from fastlane.storage.transfer.lines import Line

REPORT_EVERY = 5.0
"""Seconds between two lines of progress."""


class _Pace:
    """Says when it is time for another line of progress."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last line is long enough ago; then the time of the next one counts from now."""
        now = time.monotonic()
        if now - self._last < REPORT_EVERY:
            return False
        self._last = now
        return True


@click.command("prune")
@with_options(CONFIG, DATA_DIR)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
def prune(config: str | None, data_dir: str | None, dry_run: bool) -> None:
    """Removes what is older, or more, than the settings, pools and jobs keep, from the store that the settings name. Workers do the same
    all the time; this does it now, while fastlane runs or not.

    \b
    Examples:
      fastlane prune --dry-run
      FASTLANE_KEEP_LOGS=2d fastlane prune
    """
    settings = load_settings(config, data_dir)
    run_or_exit(_prune(settings, dry_run=dry_run))


@click.command("compact")
@with_options(CONFIG, DATA_DIR)
def compact(config: str | None, data_dir: str | None) -> None:
    """Rewrites the SQLite file without its free space. Once is enough for a file that an older fastlane made: from then on, workers return
    free space by themselves. Nobody can write meanwhile, so stop the servers and workers before.

    \b
    Examples:
      fastlane compact
      fastlane compact --config prod.toml
    """
    settings = load_settings(config, data_dir)
    run_or_exit(_compact(settings))


async def _prune(settings: "Settings", *, dry_run: bool) -> None:
    from fastlane.app import make_pruner, make_store, opened

    check_store(settings)
    verb, pace = "would go" if dry_run else "gone", _Pace()

    def report(counts: Mapping[str, int]) -> None:
        if pace.is_due():
            say(f"{verb} so far: {_words(counts)}")

    async with opened(make_store(settings)) as store:
        pruner = make_pruner(settings, store)
        found = await (pruner.overdue(report) if dry_run else pruner.prune_all(report))
    click.echo(f"{verb}: {_words(found.counts)}")


async def _compact(settings: "Settings") -> None:
    from fastlane.app import compact_store

    check_store(settings)
    began, pace = time.monotonic(), _Pace()

    def report() -> None:
        if pace.is_due():
            say(f"rewriting {settings.store_path} for {time.monotonic() - began:.0f} s so far")

    before, after = compact_store(settings, report)
    click.echo(f"{settings.store_path}: {before / 2**20:,.1f} MiB before, {after / 2**20:,.1f} MiB now")


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


@click.command("export")
@with_options(CONFIG, DATA_DIR)
@click.option("-o", "--output", metavar="FILE", help="Write to this file, packed if it ends with .gz; without it, to standard output.")
@click.option("--no-logs", is_flag=True, help="Leave the logs out.")
@click.option("--compose", "job", metavar="JOB", help="Ask the server for this job, and write it as the jobs: of a compose file.")
def export_store(config: str | None, data_dir: str | None, output: str | None, no_logs: bool, job: str | None) -> None:
    """Writes all tasks, jobs, executions, logs and events as JSON lines, while fastlane runs. `fastlane import` reads them into an empty
    store of either kind.

    The file holds environment variables as they are, secret ones too. With --compose it is one job, for `fastlane apply`.

    \b
    Examples:
      fastlane export -o fastlane.jsonl.gz
      fastlane export --no-logs --config prod.toml -o jobs.jsonl
      fastlane export --compose shop/nightly -o compose.yaml
    """
    if job is not None:
        from fastlane.cli.client.commands.apply import export_compose

        export_compose(job, None if output in (None, "-") else Path(output or ""))
        return
    settings = load_settings(config, data_dir)
    run_or_exit(_export(settings, None if output in (None, "-") else Path(output or ""), with_logs=not no_logs))


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_options(CONFIG, DATA_DIR)
@click.option("--without-redis", is_flag=True, help="Do not ask Redis whether a worker is alive: none is.")
def import_store(file: Path, config: str | None, data_dir: str | None, without_redis: bool) -> None:
    """Fills the store that the settings name from FILE, which `fastlane export` wrote. The store must be empty, and no worker alive.

    All dispatch is paused after it. What is due and what was under way is listed. `fastlane dispatch resume` starts it.

    \b
    Examples:
      fastlane import fastlane.jsonl.gz
      FASTLANE_STORE_URL=mongodb://mongo/fastlane fastlane import fastlane.jsonl.gz
    """
    settings = load_settings(config, data_dir)
    run_or_exit(_import(settings, file, ask_redis=not without_redis))


async def _export(settings: "Settings", output: Path | None, *, with_logs: bool) -> None:
    from fastlane.app import make_seal_keys, make_store, opened
    from fastlane.storage.transfer.files import export
    from fastlane.storage.transfer.lines import write, write_to

    check_store(settings)
    progress, keys = _TransferProgress("exported"), make_seal_keys(settings.receipt_keys)
    async with opened(make_store(settings)) as store:
        exported = export(
            store,
            version=__version__,
            installation=settings.installation,
            with_logs=with_logs,
            on_wait=progress.waits,
            on_loss=progress.lost,
        )
        if output is None:
            await write_to(exported, sys.stdout.buffer, progress, keys)
            sys.stdout.buffer.flush()
        else:
            await write(exported, output, progress, keys)
    progress.done("" if output is None else f" to {output}")
    if keys is None and progress.has_receipts:
        say("The file has receipts and is not signed, since receipt_keys is not set here: an import leaves them out.")


async def _import(settings: "Settings", file: Path, *, ask_redis: bool) -> None:
    from fastlane.app import make_seal_keys, make_store, opened
    from fastlane.storage.transfer.files import Importer
    from fastlane.storage.transfer.lines import check, read

    checked, keys = check(file, _TransferProgress("checked")), make_seal_keys(settings.receipt_keys)
    fault = checked.fault(keys)
    if not settings.store_is_mongo:
        settings.store_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        if ask_redis:
            await _refuse_workers(settings, stack)
        importer = Importer(await stack.enter_async_context(opened(make_store(settings))), keys if fault is None else None)
        await importer.prepare()
        progress = _TransferProgress("imported")
        for line in read(file):
            await importer.add(line)
            progress(line)
        await importer.finish()
    progress.done(f" from {file}")
    _show(importer.summary, "receipt_keys is not set here" if fault is None else f"the file {fault}")


async def _refuse_workers(settings: "Settings", stack: AsyncExitStack) -> None:
    """Raises FastlaneError when a worker of this installation is alive, or when that cannot be known. While the import goes on, no
    ``fastlane up`` can begin in the data folder."""
    from fastlane.app import embedded_redis, make_queue, opened

    if settings.redis_url is None:
        await stack.enter_async_context(embedded_redis(settings))
        return
    try:
        async with opened(make_queue(settings, settings.redis_url)) as queue:
            alive = [report.worker for report in await queue.reports.current()]
    except TransientError as error:
        raise FastlaneError(f"whether a worker is alive cannot be known: {error}; --without-redis if you know that none is") from error
    if alive:
        words = "a worker is" if len(alive) == 1 else f"{len(alive)} workers are"
        raise FastlaneError(f"{words} alive in the installation {settings.installation!r}; stop every worker before an import")


def _show(summary: "Summary", why_left_out: str) -> None:
    click.echo("All dispatch is paused. Look at what is due to run, stop or delete what should not, then `fastlane dispatch resume`.")
    if summary.due:
        click.echo(f"Due already ({summary.due}):")
        for job in summary.first_due:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((job.next_tick or 0) / 1000))
            click.echo(f"  {moment}  {job.task_id}/{job.id}")
    if summary.under_way:
        click.echo(f"Under way when it was exported ({summary.under_way}):")
        for execution in summary.first_under_way:
            place = f" on {execution.host}" if execution.host else ""
            click.echo(f"  {execution.status:<9}{execution.task_id}/{execution.job_id}{place}")
    if summary.backfills:
        click.echo(f"Backfills that go on after that, unless `fastlane backfill JOB --stop` ends them first ({summary.backfills}):")
        for backfill in summary.first_backfills:
            left = f"{len(backfill.remaining):,} of {backfill.total:,} due times have not begun"
            click.echo(f"  {backfill.task_id}/{backfill.id}  {left}")
    if summary.left_out:
        click.echo(f"Receipts that are not imported: {summary.left_out:,} seals, since {why_left_out}.")


class _TransferProgress:
    """Counts lines, and says now and then how far it is."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._counts: Counter[str] = Counter()
        self._lost = 0
        self._pace = _Pace()

    def __call__(self, line: "Line") -> None:
        self._counts[type(line).__name__] += 1
        if self._pace.is_due():
            say(f"{self._verb} {self._words()} so far")

    @property
    def has_receipts(self) -> bool:
        """Whether there were any."""
        return self._counts["Seal"] > 0

    def waits(self, error: str) -> None:
        """Says now and then what it waits for."""
        if self._pace.is_due():
            say(f"waiting, with {self._words()} so far: {error}")

    def lost(self, error: str) -> None:
        """Counts a log that is left out, and says why for the first of them."""
        if not self._lost:
            say(f"a log is left out: {error}")
        self._lost += 1

    def done(self, more: str) -> None:
        """Says what there was in all."""
        say(f"{self._verb} {self._words()}{more}" + (f", without {self._lost:,} logs that the archive has lost" if self._lost else ""))

    def _words(self) -> str:
        return f"{self._counts['JobLine']:,} jobs and {self._counts['ExecutionLine']:,} executions"
