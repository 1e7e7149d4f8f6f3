"""How many other jobs are due in the minute for which a job is previewed, so that people choose a quieter one. It writes nothing."""

from dataclasses import dataclass

from fastlane.calendars import CalendarBook
from fastlane.models.cron import MINUTE, next_tick
from fastlane.models.job import Job
from fastlane.storage.base import JobStore

PAGE = 200
MOST_EXAMINED = 2_000
"""Jobs that are looked at: those whose next tick comes first. What a larger installation gets is a lower bound."""


@dataclass(frozen=True, slots=True)
class DueThen:
    """``minute``: where a minute begins, in milliseconds; ``others``: the jobs that are due in it beside the previewed one. ``at_least``:
    not all jobs were looked at."""

    minute: int
    others: int
    at_least: bool = False


async def due_then(store: JobStore, calendars: CalendarBook, due: int, job_id: str | None) -> DueThen:
    """Counts the jobs that are due in the minute of ``due`` (milliseconds), now or by a later tick of their cron; ``job_id``: the job that
    is previewed, if it exists. Reads at most ``MOST_EXAMINED`` jobs."""
    minute = due // MINUTE * MINUTE
    examined, others, after = 0, 0, None
    while examined < MOST_EXAMINED:
        jobs = await store.jobs_due(minute + MINUTE, PAGE, after)
        others += sum(_is_due(job, minute) for job in await calendars.jobs(jobs) if job.id != job_id)
        examined += len(jobs)
        if len(jobs) < PAGE:
            return DueThen(minute, others)
        after = (jobs[-1].next_tick or 0, jobs[-1].id)
    return DueThen(minute, others, at_least=True)


def _is_due(job: Job, minute: int) -> bool:
    """Whether a tick of the job, its next one or a later one, comes in that minute and can start something."""
    if job.next_tick is None or job.spec.is_over(minute):
        return False
    due = job.next_tick
    if due < minute and job.schedule.cron is not None:
        due = next_tick(job.schedule.cron, minute - 1) or 0
    return minute <= due < minute + MINUTE and job.schedule.skipped_at(due) is None
