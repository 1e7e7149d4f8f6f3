"""What jobs took over their runs, in answers."""

from collections.abc import Callable

from fastlane.models.job import Execution
from fastlane.models.run_figures import Figures, Measure, output_size, run_time
from fastlane.models.status import FINAL
from fastlane.services.reads.trends import StatsView
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
