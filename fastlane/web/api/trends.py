"""What jobs took over their runs, what that says about their definitions, and what executions used of the hosts, in answers."""

from collections.abc import Callable
from dataclasses import dataclass

from fastlane.models.advice import MOST_EXECUTIONS, Advice, AdviceCode
from fastlane.models.job import Execution
from fastlane.models.run_figures import Figures, Measure, output_size, run_time
from fastlane.models.status import FINAL
from fastlane.models.usage import FIGURES, UsedBy
from fastlane.services.reads.trends import AdvicePage, AdviceView, StatsView
from fastlane.services.reads.usage import UsagePiece
from fastlane.web.api import serializer as show
from fastlane.web.api.serializer import LINK, Field, Listing, Serializer

RUN = Serializer[Execution](
    "MeasuredRun",
    "A run that has ended, and what it took.",
    executionId=show.uuid(lambda one: one.id, "The execution's id."),
    status=show.enum(sorted(FINAL), lambda one: one.status, "How it ended."),
    attempt=show.integer(lambda one: one.attempt, "1, and one more for each retry.", least=1),
    startedAt=show.timestamp(lambda one: one.started_at, "When its container was seen running.", null=True),
    finishedAt=show.timestamp(lambda one: one.finished_at, "When it ended.", null=True),
    durationMs=show.integer(run_time, "How long it ran.", null=True),
    memoryPeakBytes=show.integer(
        lambda one: None if one.usage is None else one.usage.memory_peak,
        "The most memory that a sample showed; null: not measured.",
        null=True,
    ),
    cpuSeconds=show.seconds(
        lambda one: None if one.usage is None else one.usage.cpu_ms, "Processor seconds until the last sample; null: not measured."
    ),
    outputBytes=show.integer(output_size, "Bytes of stdout and stderr."),
)


def _measure(name: str, description: str, field: Callable[[Callable[[Figures], int | None], str], Field[Figures]]) -> Serializer[Figures]:
    """The figures of a measure, whose values ``field`` shows."""
    return Serializer[Figures](
        name,
        description,
        runs=show.integer(lambda one: one.runs, "Over how many runs the figures are: those for which it was measured."),
        newest=field(lambda one: one.newest, "Of the newest of these runs; null, like the others, when there is none."),
        least=field(lambda one: one.least, "The least."),
        median=field(lambda one: one.median, "What half of the runs do not exceed."),
        p95=field(lambda one: one.p95, "What 95 % of the runs do not exceed."),
        most=field(lambda one: one.most, "The most."),
        olderMedian=field(lambda one: one.older, "The median of the older half; null below 10 runs."),
        newerMedian=field(lambda one: one.newer, "The median of the newer half; null below 10 runs."),
    )


def _whole(read: Callable[[Figures], int | None], about: str) -> Field[Figures]:
    return show.integer(read, about, null=True)


WHOLE = _measure("Figures", "Figures over runs, as whole numbers.", _whole)
SECONDS = _measure("FiguresInSeconds", "Figures over runs, in seconds.", show.seconds)

JOB_STATS = Serializer[Listing[StatsView]](
    "JobStats",
    "What a job's runs took: figures over a page of its executions, and each run of it. Executions that have not started or not ended are "
    "not counted.",
    task=show.nested(LINK, lambda listing: (listing.view.job.task_id,)),
    job=show.nested(LINK, lambda listing: (listing.view.job.task_id, listing.view.job.id)),
    executions=show.integer(lambda listing: len(listing.page.rows), "How many executions this page looked at, the newest first."),
    runs=show.integer(lambda listing: len(listing.view.runs), "How many of these ran and have ended, with a wanted status."),
    ended=show.mapping(
        lambda listing: listing.view.ended, "How many of the runs have which status.", values={"type": "integer", "minimum": 1}
    ),
    durationMs=show.nested(WHOLE, lambda listing: listing.view.figures[Measure.DURATION], "Milliseconds from start to end."),
    memoryPeakBytes=show.nested(WHOLE, lambda listing: listing.view.figures[Measure.MEMORY], "The most memory that samples showed."),
    cpuSeconds=show.nested(SECONDS, lambda listing: listing.view.figures[Measure.PROCESSOR], "Processor time until the last samples."),
    outputBytes=show.nested(WHOLE, lambda listing: listing.view.figures[Measure.OUTPUT], "Bytes of stdout and stderr."),
    items=show.array(RUN, lambda listing: listing.view.runs, "The runs, newest first."),
    page=show.pagination(),
)

_VALUE = {"type": ["string", "number", "null"]}
ADVICE = Serializer[Advice](
    "Advice",
    "A piece of advice on a job's definition, from what is stored of its runs and due times.",
    code=show.enum(AdviceCode, lambda one: one.code, "Which advice it is."),
    message=show.string(lambda one: one.seen, "What was seen, with its figures."),
    change=show.string(lambda one: one.change, "What to change."),
    field=show.string(
        lambda one: one.path, "The field of the job that this is about, such as resources.memory; null: none of its own.", null=True
    ),
    current=show.rendered(
        lambda one, _: one.now, _VALUE, "The field's value now, as a body has it; null: not set, or of no help here.", always=True
    ),
    suggested=show.rendered(
        lambda one, _: one.suggested,
        _VALUE,
        "The value to try, as a body has it; null: no value follows from what was seen.",
        always=True,
    ),
    figures=show.mapping(lambda one: one.figures, "What was seen in numbers; names of amounts end in units.", values={"type": "number"}),
)

JOB_ADVICE = Serializer[AdviceView](
    "JobAdvice",
    "The advice on a job.",
    taskId=show.string(lambda view: view.job.task_id, "The task's id."),
    jobId=show.uuid(lambda view: view.job.id, "The job's id."),
    jobUrl=show.url(lambda view, render: render.job_url(view.job.task_id, view.job.id), "The job."),
    name=show.string(lambda view: view.job.spec.name, "Its name.", null=True),
    executions=show.integer(
        lambda view: view.executions, f"How many of its executions were looked at: the newest, {MOST_EXECUTIONS} at most."
    ),
    ticks=show.integer(lambda view: view.ticks, "How many rows of its ledger were looked at, the same way."),
    advice=show.array(ADVICE, lambda view: view.advice, "The advice; nothing when too little is known, or nothing calls for a change."),
)

ADVICE_PAGE = Serializer[Listing[AdvicePage]](
    "AdvicePage",
    "The jobs of a page on which there is advice. A page may have none; nextUrl goes on.",
    jobs=show.integer(lambda listing: len(listing.page.rows), "How many jobs this page looked at, the newest first."),
    items=show.array(JOB_ADVICE, lambda listing: listing.view.views, "Those with advice."),
    page=show.pagination(),
)

ABOUT = {
    "executions": "Executions that ended.",
    "failures": "How many of them failed, timed out or expired.",
    "runs": "How many of them had started.",
    "containerSeconds": "How long these ran, in all.",
    "measuredRuns": "Runs with a sample: only these have a memory peak and processor time.",
    "measuredSeconds": "How long these ran, in all.",
    "processorSeconds": "Their processor time until their last samples.",
    "memoryPeakGibHours": "The memory peak of each in GiB, times its duration in hours: more than it used on average.",
    "limitedRuns": "Runs with a limit of memory: their own, or else their pool's of now.",
    "limitedSeconds": "How long these ran, in all.",
    "memoryLimitGibHours": "The limit of each in GiB, times its duration in hours.",
}
"""The meaning of each figure of usage."""


def _figure(name: str) -> Field[UsedBy]:
    read, is_whole = FIGURES[name], name in ("executions", "failures") or name.endswith("uns")
    if is_whole:
        return show.integer(lambda row: int(read(row.used)), ABOUT[name])
    return show.number(lambda row: read(row.used), ABOUT[name], null=False)


USED = Serializer[UsedBy](
    "UsedBy",
    "What the executions of one label's value, task or pool used.",
    value=show.string(
        lambda row: row.value, "The label's value, the task's id or the pool's name; null: executions without that.", null=True
    ),
    **{name: _figure(name) for name in FIGURES},
)


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """A piece of a sum, and the URL of the next one; None after the last."""

    piece: UsagePiece
    next_url: str | None


USAGE = Serializer[UsageAnswer](
    "UsagePage",
    "A piece of what executions used: pieces follow each other from the latest due time to the earliest, and their sums add up.",
    by=show.string(lambda one: one.piece.wanted.by, "What it is summed by."),
    since=show.timestamp(lambda one: one.piece.wanted.since, "Executions that were due at or after this time,"),
    until=show.timestamp(lambda one: one.piece.wanted.until, "and before this time."),
    executions=show.integer(lambda one: one.piece.executions, "How many executions this piece sums."),
    earliest=show.timestamp(lambda one: one.piece.earliest, "When the earliest of these was due; null: there is none.", null=True),
    items=show.array(USED, lambda one: one.piece.rows, "Each value, the one with most container time first."),
    nextUrl=show.url(lambda one, _: one.next_url, "The next piece; null after the last.", null=True),
)
