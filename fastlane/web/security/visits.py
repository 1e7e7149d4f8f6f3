"""Visits: what the browser that opened a page with a ticket may read, by the secret in its cookie."""

from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest

from fastlane.models.access import Principal
from fastlane.services.tickets import Grant, Tickets
from fastlane.web.security.auth import Authenticator

COOKIE = "fastlane-visit"


async def visitor(request: HTTPServerRequest, parts: Mapping[str, str], gate: Authenticator, tickets: Tickets) -> Principal | None:
    """Whose visit this request belongs to, if it reads something of the job that is visited and brings nothing else to say who it is;
    ``parts`` are those of its path. Raises QueueDown."""
    headers = request.headers
    if COOKIE not in headers.get("Cookie", "") or "Authorization" in headers or request.method not in ("GET", "HEAD"):
        return None
    secret = request.cookies.get(COOKIE)
    found = None if secret is None else await tickets.visit(secret.value)
    return gate.holder(found.seal) if found is not None and is_of_job(found, parts) else None


def is_of_job(what: Grant, parts: Mapping[str, str]) -> bool:
    """Whether a path lies below the job that a pass is for, or one of whose executions it is for."""
    return (what.task_id, what.job_id) == (parts.get("task_id"), parts.get("job_id", "").lower())


def is_of_path(what: Grant, parts: Mapping[str, str]) -> bool:
    """Whether a pass is for the very job or execution that a path names."""
    execution_id = parts.get("execution_id")
    return is_of_job(what, parts) and what.execution_id == (execution_id.lower() if execution_id is not None else None)
