"""Checks what the principal of a request may do, and counts what is refused."""

from tornado.httputil import HTTPServerRequest

from fastlane.models.access import Principal, Role
from fastlane.models.event import EventKind
from fastlane.web.handler.context import AppContext
from fastlane.web.http.problems import Problem
from fastlane.web.security.auth import authorize


def check_access(
    context: AppContext, request: HTTPServerRequest, principal: Principal, method: str, task_id: str | None, write_role: Role | None
) -> None:
    """Raises a 403 as ``authorize`` does."""
    try:
        authorize(principal, method, task_id, write_role)
    except Problem:
        context.services.access_events.refused(EventKind.ACCESS_REFUSED, principal.name, context.origins.client_address(request))
        raise
