"""Values as the JSON of answers: the names, URLs and times that API users see, and what they must not see."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastlane.clock import iso
from fastlane.models.access import Requester
from fastlane.models.execution import Execution
from fastlane.models.job import Job, Spec
from fastlane.models.paging import Page
from fastlane.models.schedule.schedule import Schedule
from fastlane.models.schedule.tick import Tick
from fastlane.models.task import Task
from fastlane.services.jobs.results import CurrentStatus, Enqueued
from fastlane.services.reads.details import JobDetail
from fastlane.services.reads.lists import TaskJobsView, TicksView
from fastlane.services.reads.views import ExecutionView, JobView
from fastlane.web.api.containers import show_container, show_resources
from fastlane.web.http.paging import ListUrl

REDACTED = "********"
NOBODY: Mapping[str, Sequence[Any]] = {"succeeds": (), "fails": (), "finishes": ()}
"""Who hears of a job's ends: nobody yet."""
SHORTEST_SECRET = 4
"""Characters; what is shorter is no secret, and stands in ordinary words."""


class Renderer:
    """Renders for one request. ``base`` is the URL before every path; a variable with one of ``redact_words`` in its name is shown without
    its value."""

    def __init__(self, base: str, redact_words: Sequence[str]) -> None:
        self._base = base
        self._redact_words = redact_words

    # URLs

    def task_url(self, task_id: str) -> str:
        """Of a task."""
        return f"{self._base}/tasks/{quote(task_id, safe='')}/"

    def job_url(self, task_id: str, job_id: str) -> str:
        """Of a job."""
        return f"{self.task_url(task_id)}jobs/{job_id}/"

    def execution_url(self, task_id: str, job_id: str, execution_id: str) -> str:
        """Of an execution."""
        return f"{self.job_url(task_id, job_id)}executions/{execution_id}/"

    # replies to writes

    def enqueued(self, made: Enqueued) -> dict[str, Any]:
        """The enqueue reply."""
        task_url = self.task_url(made.task_id)
        job_url = f"{task_url}jobs/{made.job_id}/"
        return {
            "taskId": made.task_id,
            "jobId": made.job_id,
            "executionId": made.execution_id,
            "queueJobId": made.tick_id,
            "taskUrl": task_url,
            "jobUrl": job_url,
            "executionUrl": f"{job_url}executions/{made.execution_id}/" if made.execution_id else None,
        }

    def stopped(self, stopped: CurrentStatus) -> dict[str, Any]:
        """The stop reply, of a job or of one execution."""
        reply = {
            "taskId": stopped.task_id,
            "jobId": stopped.job_id,
            "taskUrl": self.task_url(stopped.task_id),
            "jobUrl": self.job_url(stopped.task_id, stopped.job_id),
            "status": stopped.status,
        }
        if stopped.execution_id is not None:
            reply["executionId"] = stopped.execution_id
            reply["executionUrl"] = self.execution_url(stopped.task_id, stopped.job_id, stopped.execution_id)
        return reply

    # what is there

    def tasks(self, listed: ListUrl, page: Page[Task]) -> dict[str, Any]:
        """A page of tasks."""
        return {"items": [self._task(task) for task in page.rows]} | listed.pagination(page)

    def task(self, listed: ListUrl, view: TaskJobsView) -> dict[str, Any]:
        """A task with a page of its jobs; the keys of the pagination stand beside them."""
        task = view.task
        jobs = [self._job_row(job) for job in view.jobs.rows]
        about = {"taskId": task.id, "url": self.task_url(task.id), "jobsCount": task.jobs_count}
        return about | {"jobs": jobs} | listed.pagination(view.jobs)

    def job(self, listed: ListUrl, detail: JobDetail) -> dict[str, Any]:
        """A job in full, with a page of its executions, whose pagination stands beside it."""
        job = detail.view.job
        return {
            "task": {"id": job.task_id, "url": self.task_url(job.task_id)},
            "job": {
                "id": job.id,
                "url": self.job_url(job.task_id, job.id),
                "taskId": job.task_id,
                "createdAt": iso(job.created_at),
                "lastModifiedAt": iso(job.modified_at),
                "scheduled": job.next_tick is not None,
                "status": detail.view.status,
                "nextRunAt": _iso(job.next_tick),
                "spec": self.spec(job.spec),
                "schedule": self.schedule(job.schedule),
                "executionCount": detail.executions.total,
                "executions": [self._execution(view) for view in detail.executions.rows],
                "metadata": {
                    "custom": job.spec.metadata,
                    "envs": self._envs(job.spec.envs),
                    "retries": job.spec.retries,
                    "timeout": _seconds(job.spec.timeout),
                    "cron": job.schedule.cron.text if job.schedule.cron else None,
                    "expiration": _iso(job.spec.expiration),
                    "notify": NOBODY,
                    "webhooks": NOBODY,
                },
                "requestedBy": _requester(job.requested_by),
            },
        } | listed.pagination(detail.executions)

    def execution(self, view: ExecutionView) -> dict[str, Any]:
        """An execution in full, with its task and job."""
        one = view.execution
        return {
            "task": {"id": one.task_id, "url": self.task_url(one.task_id)},
            "job": {"id": one.job_id, "url": self.job_url(one.task_id, one.job_id)},
            "execution": self._execution(view),
        }

    def executions(self, listed: ListUrl, page: Page[ExecutionView]) -> dict[str, Any]:
        """A page of executions."""
        return {"items": [self._execution(view) for view in page.rows]} | listed.pagination(page)

    def ticks(self, listed: ListUrl, view: TicksView) -> dict[str, Any]:
        """A page of a job's tick ledger."""
        return {"items": [self._tick(view.job, tick) for tick in view.ticks.rows]} | listed.pagination(view.ticks)

    def scheduled(self, job: Job) -> dict[str, Any]:
        """A job that is due some time, and how to stop it."""
        url = self.job_url(job.task_id, job.id)
        return {"taskId": job.task_id, "jobId": job.id, "url": url, "nextRunAt": _iso(job.next_tick), "stopUrl": f"{url}stop/"}

    def _task(self, task: Task) -> dict[str, Any]:
        return {
            "taskId": task.id,
            "createdAt": iso(task.created_at),
            "lastModifiedAt": iso(task.modified_at),
            "jobsCount": task.jobs_count,
            "url": self.task_url(task.id),
        }

    def _job_row(self, view: JobView) -> dict[str, Any]:
        job = view.job
        return {
            "id": job.id,
            "url": self.job_url(job.task_id, job.id),
            "createdAt": iso(job.created_at),
            "lastModifiedAt": iso(job.modified_at),
            "image": job.spec.image,
            "command": _command(job.spec.command),
            "schedule": self.schedule(job.schedule),
            "status": view.status,
            "nextRunAt": _iso(job.next_tick),
            "lastExecution": self._brief(view.latest) if view.latest else None,
        }

    def _tick(self, job: Job, tick: Tick) -> dict[str, Any]:
        id = tick.execution_id
        return {
            "id": tick.id,
            "due": iso(tick.due),
            "until": _iso(tick.until),
            "count": tick.count,
            "atLeast": tick.at_least,
            "outcome": tick.outcome.value,
            "reason": tick.reason,
            "execution": None if id is None else {"id": id, "url": self.execution_url(job.task_id, job.id, id)},
            "createdAt": iso(tick.created_at),
        }

    def _brief(self, one: Execution) -> dict[str, Any]:
        return {
            "executionId": one.id,
            "url": self.execution_url(one.task_id, one.job_id, one.id),
            "status": one.status.value,
            "failure": self._failure(one),
            "createdAt": iso(one.created_at),
            "startedAt": _iso(one.started_at),
            "finishedAt": _iso(one.finished_at),
            "exitCode": one.exit_code,
        }

    def _execution(self, view: ExecutionView) -> dict[str, Any]:
        one = view.execution
        host, port = split_host(one.host)
        known = self._brief(one) | {
            "jobId": one.job_id,
            "taskId": one.task_id,
            "image": one.spec.image,
            "imageDigest": one.image_digest,
            "command": _command(one.spec.command),
            "attempt": one.attempt,
            "scheduledFor": iso(one.scheduled_for),
            "durationMs": _duration(one),
            "host": one.host,
            "pool": one.pool,
            "serviceId": one.service_id,
            "containerId": one.container_id,
            "logInfo": {"stdoutBytes": view.stdout_bytes, "stderrBytes": view.stderr_bytes, "truncated": view.truncated},
            "requestedBy": _requester(one.requested_by),
            "metadata": {"docker_host": host, "docker_port": port, "container_id": one.container_id},
        }
        return known if view.stdout is None else known | {"log": view.stdout, "error": view.stderr}

    def spec(self, spec: Spec) -> dict[str, Any]:
        """What a job runs, and by which rules; durations in seconds."""
        return {
            "image": spec.image,
            "command": _command(spec.command),
            "envs": self._envs(spec.envs),
            "metadata": spec.metadata,
            "retries": spec.retries,
            "retryDelay": _seconds(spec.retry_delay),
            "timeout": _seconds(spec.timeout),
            "expiration": _iso(spec.expiration),
            "expiresIn": _seconds(spec.expires_in),
            "priority": spec.priority,
            "concurrency": spec.concurrency or None,
            "resources": show_resources(spec.resources),
            "container": show_container(spec.container),
        }

    def schedule(self, schedule: Schedule) -> dict[str, Any]:
        """When a job runs."""
        cron = schedule.cron
        if cron is None:
            return {"kind": schedule.kind.value, "startAt": _iso(schedule.at)}
        rules = {"overlap": schedule.overlap.value, "catchUp": schedule.catch_up.value}
        return {"kind": schedule.kind.value, "startAt": None, "cron": cron.text, "timezone": cron.timezone, **rules}

    def _envs(self, envs: Mapping[str, str]) -> dict[str, str]:
        return {name: REDACTED if self._is_secret(name) else value for name, value in envs.items()}

    def _failure(self, one: Execution) -> dict[str, Any] | None:
        """Why it failed, without the secrets that whoever said so may have repeated."""
        if one.failure is None:
            return None
        return {"reason": one.failure.reason.value, "message": self.without_secrets(one.failure.message, one.spec.envs)}

    def without_secrets(self, message: str, envs: Mapping[str, str]) -> str:
        """Somebody else's words, without the values of these variables that are secret."""
        for name, value in envs.items():
            if len(value) >= SHORTEST_SECRET and self._is_secret(name):
                message = message.replace(value, REDACTED)
        return message

    def _is_secret(self, name: str) -> bool:
        return any(word.lower() in name.lower() for word in self._redact_words)


def split_host(host: str | None) -> tuple[str | None, int | None]:
    """An engine's address as host and port; a unix socket has no port."""
    if host is None or host.startswith("unix:"):
        return host, None
    name, _, port = host.rpartition("://")[2].rpartition(":")
    return (name, int(port)) if name and port.isascii() and port.isdigit() else (host, None)


def _iso(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)


def _command(command: tuple[str, ...] | None) -> str | None:
    """As text that splits into the same arguments again."""
    return None if command is None else shlex.join(command)


def _seconds(milliseconds: int | None) -> float | None:
    if milliseconds is None:
        return None
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def _requester(requester: Requester | None) -> dict[str, Any] | None:
    return {"user": requester.user, "address": requester.address} if requester else None


def _duration(one: Execution) -> int | None:
    if one.started_at is None or one.finished_at is None:
        return None
    return max(0, one.finished_at - one.started_at)
