"""The operator's picture as the JSON of answers: health and status."""

from collections.abc import Mapping
from typing import Any

from fastlane.clock import iso
from fastlane.models.execution import Execution
from fastlane.models.status import Status
from fastlane.services.reads.health import HealthReport
from fastlane.services.reads.server_status import HostRow, StatusView
from fastlane.web.api.rendering import Renderer, split_host


def health(report: HealthReport) -> dict[str, Any]:
    """The health of all parts; ``mongo`` is the store under the name that it had in fastlane 2.x."""
    return {
        "redis": report.redis,
        "store": report.store,
        "mongo": report.store,
        "docker": report.docker,
        "workers": report.workers,
        "errors": [{"source": problem.source, "message": problem.message} for problem in report.errors],
    }


def status(renderer: Renderer, view: StatusView, version: str) -> dict[str, Any]:
    """The whole picture; ``uptime`` in seconds."""
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
        "jobs": {"count": view.counts.jobs, "scheduled": [renderer.scheduled(job) for job in view.scheduled]},
        "executions": _by_status(view.counts.executions),
    }


def _by_status(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.value: counts.get(status, 0) for status in Status}


def _host(row: HostRow) -> dict[str, Any]:
    host, port = split_host(row.name)
    view = row.view
    return {
        "host": host,
        "port": port,
        "pool": row.pool,
        "swarm": view.swarm_id if view else None,
        "available": bool(view and view.usable),
        "blacklisted": False,
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
