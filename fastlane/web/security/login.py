"""Finds the principal of a request by its ticket, its browser's session or its Authorization header, in this order."""

from collections.abc import Mapping
from typing import NamedTuple

from tornado.httputil import HTTPServerRequest

from fastlane.models.access import Principal
from fastlane.services.tickets import Grant, Tickets
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.browser_login import browser_principal
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.security.tickets import session_principal, ticket_in, use_ticket


class Login(NamedTuple):
    """A request's principal and, if a ticket authenticated it, what the ticket grants."""

    principal: Principal
    grant: Grant | None = None


async def log_in(
    request: HTTPServerRequest,
    path: Mapping[str, str],
    authenticator: Authenticator,
    tickets: Tickets,
    origins: RequestOrigins,
    *,
    accepts_tickets: bool,
) -> Login:
    """The login of a request; ``path`` are the parameters in its path. Raises a 401, 429 or 503 as ``Authenticator.authenticate`` does."""
    if accepts_tickets and (ticket := ticket_in(request)) is not None:
        granted = await use_ticket(request, ticket, path, authenticator, tickets)
        if granted is not None:
            return Login(*granted)
        # A used link does not keep out a client that also sends another credential.
        if not request.headers.keys() & {"Authorization", "Cookie"}:
            raise authenticator.ticket_refused(origins.client_address(request) or "unknown")
    principal = await session_principal(request, path, authenticator, tickets)
    if principal is None:
        principal = await browser_principal(request, authenticator, tickets)
    if principal is None:
        header = request.headers.get("Authorization", "")
        principal = authenticator.cached(header)
        if principal is None:
            principal = await authenticator.authenticate(header, origins.client_address(request) or "unknown")
    return Login(principal)
