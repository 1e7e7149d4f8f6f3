"""The answer to a dry run."""

from typing import Any

from fastlane.clock import iso
from fastlane.services.jobs.preview import Preview
from fastlane.services.reads.server_status import HostRow
from fastlane.web.api.containers import show_resources
from fastlane.web.api.rendering import Renderer


def preview(renderer: Renderer, seen: Preview) -> dict[str, Any]:
    """A job as it would be."""
    return {
        "valid": True,
        "spec": renderer.spec(seen.spec),
        "schedule": renderer.schedule(seen.schedule),
        "pool": seen.pool.name,
        "resources": show_resources(seen.resources),
        "hosts": [_host(row) for row in seen.hosts],
        "nextRuns": [iso(moment) for moment in seen.next_runs],
    }


def _host(row: HostRow) -> dict[str, Any]:
    if row.view is None:
        return {"host": row.name, "usable": False, "reason": "no worker is alive that sees it"}
    return {"host": row.name, "usable": row.view.usable, "reason": None if row.view.usable else row.view.reason}
