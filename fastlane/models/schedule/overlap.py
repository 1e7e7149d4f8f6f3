"""What a tick does while earlier executions of its job are under way, and when one that waits for them goes on. Pure.

``others`` are the executions of the job that are under way: one that has failed counts until the attempt after it is there. Of very many
they are the oldest, and the newest that waits: so what is to be stopped for another is stopped in parts.
"""

from collections.abc import Sequence

from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.schedule.retry import is_under_way
from fastlane.models.schedule.schedule import Overlap
from fastlane.models.schedule.tick import STARTS, Outcome, OverlapDecision


def meet(overlap: Overlap, others: Sequence[Execution]) -> OverlapDecision:
    """What a tick of the job, or a run by hand, comes to. One at most waits: with ``queue`` a second is skipped, with ``replace`` the later
    one also takes the place of the one that waits."""
    under_way = [one for one in others if is_under_way(one)]
    if not under_way or overlap is Overlap.ALLOW:
        return STARTS
    earlier = next((one for one in under_way if one.waits is None), under_way[0])
    still = f"execution {earlier.id} of the job was still under way"
    if overlap is Overlap.SKIP:
        return OverlapDecision(Outcome.SKIPPED, f"{still} (overlap: skip)")
    if overlap is Overlap.REPLACE:
        return OverlapDecision(Outcome.REPLACED, f"{still}, and had to stop first (overlap: replace)", overlap)
    waiting = next((one for one in under_way if one.waits is not None), None)
    if waiting is not None:
        return OverlapDecision(Outcome.SKIPPED, f"{still}, and {waiting.id} waited for it already (overlap: queue)")
    return OverlapDecision(Outcome.QUEUED, f"{still}, and had to end first (overlap: queue)", overlap)


def awaited(job: Job | None, waiting: Execution, others: Sequence[Execution]) -> list[Execution]:
    """What an execution of the job that waits has to wait for, oldest first. Nothing once its job allows overlap, was deleted or stopped:
    in the last two cases, the worker that claims it ends it."""
    if job is None or not waiting.belongs_to(job) or job.stops(waiting.sequence) or job.schedule.overlap is Overlap.ALLOW:
        return []
    return [one for one in others if _comes_first(one, waiting)]


def replaced(waiting: Execution, awaited: Sequence[Execution]) -> list[Execution]:
    """Those of the awaited ones that are to be stopped for it: all that are older, if it is to replace them."""
    if waiting.waits is not Overlap.REPLACE:
        return []
    return [one for one in awaited if one.sequence < waiting.sequence and not one.status.final and one.stop_requested_at is None]


def _comes_first(one: Execution, waiting: Execution) -> bool:
    return is_under_way(one) and one.id != waiting.id and (one.waits is None or one.sequence < waiting.sequence)
