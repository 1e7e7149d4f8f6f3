"""``…/ws-ticket``, and what it opens: a WebSocket or the page of a log in a browser, which can send no bearer token there.

The page that a ticket opened is a visit: its browser keeps the visit's secret in a cookie for that job's addresses, which no script sees
and no other site's page can have sent along. It opens what is read of that job, by GET and HEAD alone. See docs/decisions.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from fastlane.clock import iso
from fastlane.models.access import Principal, Role
from fastlane.services.tickets import VISIT_HOLDS, Grant, Ticket, TooMany
from fastlane.web.api import responses
from fastlane.web.api.contract import Parameter, operation
from fastlane.web.api.rendering import Renderer
from fastlane.web.http.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.visits import COOKIE, is_of_path

TICKET = "ticket"
BY_TICKET: Mapping[str, Parameter] = {
    TICKET: Parameter("Instead of a log-in: a ticket that POST …/ws-ticket made for this job or execution.", {"type": "string"})
}
"""The query of a route that takes tickets."""


class TicketHandler(Handler):
    """``…/ws-ticket``, of a job or of one execution."""

    write_role = Role.READ

    @operation(
        "makeTicket",
        responses.Ticket,
        refusals=(404, 429),
        more="It opens the WebSocket or the page once, within 30 seconds, for who cannot send a token there: a browser.",
    )
    async def on_post(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """A ticket to follow its log."""
        await self.services.queries.known(task_id, job_id, execution_id)
        tickets, gate = self.services.tickets, self.context.gate
        if gate is None or self.principal is None:
            ticket = tickets.blank()
        else:
            try:
                ticket = await tickets.make(Grant(gate.seal(self.principal), task_id, job_id, execution_id))
            except TooMany as error:
                raise Problem(429, str(error), headers={"Retry-After": str(error.wait)}) from None
        self.set_header("Cache-Control", "no-store")
        await self.answer(rendered(self.renderer, ticket, task_id, job_id, execution_id))


class Admitting(Handler):
    """A route that takes a ticket, where others take an Authorization header or a visit's cookie."""

    admitted: Grant | None = None
    """What the ticket was for, when it was by one that this request was let in."""

    async def identify(self, gate: Authenticator) -> Principal:
        """A ticket is used up whether it is good here or not. Where it is not, another credential that came with it counts: who has one
        is not kept out by a link that was used before."""
        ticket = self.request.query_arguments.get(TICKET, [])
        if len(ticket) != 1:
            return await super().identify(gate)
        text = ticket[0].decode("utf-8", "replace")
        tickets = self.services.tickets
        found = await (tickets.show(text) if self.request.method == "HEAD" else tickets.take(text))
        holder = None if found is None or not is_of_path(found, self._path) else gate.holder(found.seal)
        if found is not None and holder is not None:
            self.admitted = found
            return holder
        if self.request.headers.keys() & {"Authorization", "Cookie"}:
            return await super().identify(gate)
        raise gate.no_ticket(self.context.addresses.client(self.request) or "unknown")

    async def lead_in(self, task_id: str, job_id: str, execution_id: str | None) -> None:
        """Begins the visit, and leads to the page's address without the ticket: nothing keeps or passes on what does not stand there."""
        job = f"tasks/{quote(task_id, safe='')}/jobs/{job_id}"
        if self.admitted is not None and self.request.method == "GET":
            secret = await self.services.tickets.begin_visit(self.admitted)
            self.set_header("Set-Cookie", cookie(secret, self.base, job))
        up = "../" * (self.request.path.count("/") - 1) or "./"
        of = f"/executions/{execution_id}" if execution_id else ""
        self.set_status(303)
        self.set_header("Location", f"{up}{job}{of}/stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        await self.delivered(self.finish())


def cookie(secret: str, base: str, job: str) -> str:
    """The header that gives a browser a visit's secret, for the addresses below a job's; ``base`` is the server's URL to browsers."""
    server = urlsplit(base)
    secure = "; Secure" if server.scheme == "https" else ""
    return f"{COOKIE}={secret}; Path={server.path}/{job}; Max-Age={VISIT_HOLDS // 1_000}; HttpOnly; SameSite=Lax{secure}"


def rendered(renderer: Renderer, ticket: Ticket, task_id: str, job_id: str, execution_id: str | None) -> dict[str, str]:
    """A ticket, and the addresses that it opens."""
    place = renderer.execution_url(task_id, job_id, execution_id) if execution_id else renderer.job_url(task_id, job_id)
    return {
        "ticket": ticket.text,
        "expiresAt": iso(ticket.expires_at),
        "url": f"ws{place.removeprefix('http')}ws/?{TICKET}={ticket.text}",
        "streamUrl": f"{place}stream/?{TICKET}={ticket.text}",
    }
