"""Values as the JSON of answers: the names, URLs and times that API users see, and what they must not see."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastlane.clock import iso
from fastlane.models.execution import Execution
from fastlane.models.job import Job, Spec
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.services.health import Verdict
from fastlane.services.jobs import Enqueued, Stopped
from fastlane.services.queries import ExecutionView, JobDetail, JobView, TaskView, TicksView
from fastlane.services.status import HostRow, StatusView

REDACTED = "********"


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

    def stopped(self, stopped: Stopped) -> dict[str, Any]:
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

    def task(self, view: TaskView) -> dict[str, Any]:
        """A task with a page of its jobs; the keys of the pagination stand beside them."""
        task, window = view.task, view.window
        jobs = [self._job_row(job) for job in view.jobs]
        return {"taskId": task.id, "url": self.task_url(task.id), "jobsCount": task.jobs_count, "jobs": jobs} | self._pagination(
            self.task_url(task.id), window.page, window.per_page, task.jobs_count, window.pages(task.jobs_count)
        )

    def job(self, detail: JobDetail) -> dict[str, Any]:
        """A job in full."""
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
                "spec": self._spec(job.spec),
                "schedule": _schedule(job.schedule),
                "executionCount": detail.execution_count,
                "executions": [self._execution(view) for view in detail.executions],
                "metadata": {
                    "custom": job.spec.metadata,
                    "envs": self._envs(job.spec.envs),
                    "retries": job.spec.retries,
                    "timeout": _seconds(job.spec.timeout),
                    "cron": job.schedule.cron.text if job.schedule.cron else None,
                    "expiration": _iso(job.spec.expiration),
                },
                "requestedBy": None,
            },
        }

    def execution(self, view: ExecutionView) -> dict[str, Any]:
        """An execution in full, with its task and job."""
        one = view.execution
        return {
            "task": {"id": one.task_id, "url": self.task_url(one.task_id)},
            "job": {"id": one.job_id, "url": self.job_url(one.task_id, one.job_id)},
            "execution": self._execution(view),
        }

    def ticks(self, view: TicksView) -> dict[str, Any]:
        """A page of a job's tick ledger."""
        job, window = view.job, view.window
        url = f"{self.job_url(job.task_id, job.id)}ticks/"
        pagination = self._pagination(url, window.page, window.per_page, view.total, window.pages(view.total))
        return {"items": [self._tick(job, tick) for tick in view.ticks]} | pagination

    def status(self, view: StatusView, version: str) -> dict[str, Any]:
        """The operator's picture; ``uptime`` in seconds."""
        return {
            "fastlane": {"version": version, "executor": "swarm"},
            "uptime": view.uptime // 1000,
            "workers": {
                "alive": len(view.workers),
                "items": [{"id": report.worker, "startedAt": iso(report.started_at)} for report in view.workers],
            },
            "hosts": [_host(row) for row in view.hosts],
            "containers": {"running": [_container(one) for one in view.running]},
            "queues": view.queues,
            "tasks": {"count": view.counts.tasks},
            "jobs": {"count": view.counts.jobs, "scheduled": [self._scheduled(job) for job in view.scheduled]},
            "executions": {status.value: view.counts.executions.get(status, 0) for status in Status},
        }

    def _scheduled(self, job: Job) -> dict[str, Any]:
        url = self.job_url(job.task_id, job.id)
        return {"taskId": job.task_id, "jobId": job.id, "url": url, "nextRunAt": _iso(job.next_tick), "stopUrl": f"{url}stop/"}

    def _pagination(self, url: str, page: int, per_page: int, total: int, pages: int) -> dict[str, Any]:
        def link(number: int) -> str | None:
            return f"{url}?page={number}&perPage={per_page}" if 1 <= number <= pages else None

        return {
            "total": total,
            "page": page,
            "pages": pages,
            "perPage": per_page,
            "hasNext": page < pages,
            "hasPrev": page > 1,
            "nextUrl": link(page + 1),
            "prevUrl": link(page - 1),
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
            "schedule": _schedule(job.schedule),
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
            "failure": _failure(one),
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
            "requestedBy": None,
            "metadata": {"docker_host": host, "docker_port": port, "container_id": one.container_id},
        }
        return known if view.stdout is None else known | {"log": view.stdout, "error": view.stderr}

    def _spec(self, spec: Spec) -> dict[str, Any]:
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
        }

    def _envs(self, envs: Mapping[str, str]) -> dict[str, str]:
        return {name: REDACTED if self._is_secret(name) else value for name, value in envs.items()}

    def _is_secret(self, name: str) -> bool:
        return any(word.lower() in name.lower() for word in self._redact_words)


def health(verdict: Verdict) -> dict[str, Any]:
    """The health of all parts; ``mongo`` is the store under the name that it had in fastlane 2.x."""
    return {
        "redis": verdict.redis,
        "store": verdict.store,
        "mongo": verdict.store,
        "docker": verdict.docker,
        "workers": verdict.workers,
        "errors": [{"source": trouble.source, "message": trouble.message} for trouble in verdict.errors],
    }


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


def _schedule(schedule: Schedule) -> dict[str, Any]:
    cron = schedule.cron
    if cron is None:
        return {"kind": schedule.kind.value, "startAt": _iso(schedule.at)}
    rules = {"overlap": schedule.overlap.value, "catchUp": schedule.catch_up.value}
    return {"kind": schedule.kind.value, "startAt": None, "cron": cron.text, "timezone": cron.timezone, **rules}


def _seconds(milliseconds: int | None) -> float | None:
    if milliseconds is None:
        return None
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def _failure(one: Execution) -> dict[str, Any] | None:
    return {"reason": one.failure.reason.value, "message": one.failure.message} if one.failure else None


def _duration(one: Execution) -> int | None:
    if one.started_at is None or one.finished_at is None:
        return None
    return max(0, one.finished_at - one.started_at)


def _host(row: HostRow) -> dict[str, Any]:
    host, port = split_host(row.name)
    view = row.view
    return {
        "host": host,
        "port": port,
        "pool": row.pool,
        "swarm": view.swarm_id if view else None,
        "available": bool(view and view.usable),
        "circuit": view.circuit if view else None,
        "error": view.reason if view else "no worker is alive that sees it",
        "running": view.running if view else 0,
    }


def _container(one: Execution) -> dict[str, Any]:
    host, port = split_host(one.host)
    return {
        "host": host,
        "port": port,
        "task": one.task_id,
        "job": one.job_id,
        "execution": one.id,
        "id": one.container_id,
        "image": one.spec.image,
    }
