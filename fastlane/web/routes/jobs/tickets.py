"""``…/ws-ticket``: a ticket that opens the WebSocket or the page of a log in a browser."""

from collections.abc import Mapping

from fastlane.models.access import Role
from fastlane.services.tickets import Grant, Ticket, TooManyTickets
from fastlane.web.api.contract import Parameter, operation
from fastlane.web.api.responses.actions import TICKET, TicketFor
from fastlane.web.handler.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.security.tickets import TICKET as TICKET_NAME

TICKET_QUERY: Mapping[str, Parameter] = {
    TICKET_NAME: Parameter("A ticket from POST …/ws-ticket for this job or execution, in place of a login.", {"type": "string"})
}
"""The query of a route that accepts tickets."""


class TicketHandler(Handler):
    """``…/ws-ticket``, of a job or of one execution."""

    write_role = Role.READ

    @operation(
        "makeTicket",
        TICKET,
        refusals=(404, 429),
        more="It opens the WebSocket or the page once, within 30 seconds, for a browser, which cannot send a token there.",
    )
    async def on_post(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """A ticket to follow its log."""
        await self.services.details.check_exists(task_id, job_id, execution_id)
        ticket = await self._make(task_id, job_id, execution_id)
        self.set_header("Cache-Control", "no-store")
        await self.answer(TICKET, TicketFor(ticket, (task_id, job_id, execution_id) if execution_id else (task_id, job_id)))

    async def _make(self, task_id: str, job_id: str, execution_id: str | None) -> Ticket:
        tickets, authenticator = self.services.tickets, self.context.authenticator
        if authenticator is None or self.principal is None:
            return tickets.unchecked()
        try:
            return await tickets.create(Grant(authenticator.seal(self.principal), task_id, job_id, execution_id))
        except TooManyTickets as error:
            raise Problem(429, str(error), headers={"Retry-After": str(error.wait)}) from None
