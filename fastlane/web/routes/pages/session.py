"""``/login``, where people log in with a token, and ``/session``, by which that page does so."""

import structlog

from fastlane.errors import Fault, Invalid
from fastlane.models.access import Principal
from fastlane.services.tickets import TooManyTickets
from fastlane.web.api.contract import Response, flag, operation
from fastlane.web.handler.handler import Handler
from fastlane.web.handler.page import HTML
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object
from fastlane.web.routes.pages.pages import show_page
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.browser_login import browser_principal, ended_cookie, session_cookie, session_secret

log = structlog.get_logger()


class LoginPageHandler(Handler):
    """``/login``: a form for a token; or who is logged in, and how to log out."""

    public = True

    @operation("readLogin", answers={200: Response("A page to log in with a token, and to log out.", media=(HTML,))})
    async def on_get(self) -> None:
        """The page to log in."""
        await show_page(self, "login.html")


class SessionHandler(Handler):
    """``/session``: the login of a browser."""

    accepts_body = True
    public = True

    @operation("getSession", query={"login": flag("A 401 for who is not logged in, so that a browser sends the password that it has.")})
    async def on_get(self) -> None:
        """Who is logged in, and whether one has to be."""
        authenticator = self.context.authenticator
        principal = None
        if authenticator is not None:
            principal = await browser_principal(self.request, authenticator, self.services.tickets)
        can_log_out = principal is not None
        if not can_log_out and read_flag(self.query, "login"):
            await self.log_in()
            principal = self.principal
        self.set_header("Cache-Control", "no-store")
        await self._answer(principal, can_log_out=can_log_out)

    async def on_post(self) -> None:
        """Logs in with a token."""
        authenticator = self._authenticator()
        address = self.context.origins.client_address(self.request) or "unknown"
        principal = authenticator.principal_of_token(_read_token(bytes(self.body)), address)
        try:
            secret = await self.services.tickets.start_login(authenticator.seal(principal))
        except TooManyTickets as error:
            raise Problem(429, str(error), headers={"Retry-After": str(error.wait)}) from None
        self.services.access_events.logged_in(principal.name, address)
        log.info("auth.logged_in", user=principal.name, address=address)
        self.set_header("Set-Cookie", session_cookie(secret, self.base_url))
        await self._answer(principal, can_log_out=True)

    async def on_delete(self) -> None:
        """Logs out."""
        self._authenticator()
        secret = session_secret(self.request)
        if secret is not None:
            await self.services.tickets.end_login(secret)
        self.set_header("Set-Cookie", ended_cookie(self.base_url))
        await self._answer(None, can_log_out=False)

    def _authenticator(self) -> Authenticator:
        if self.context.authenticator is None:
            raise Problem(409, "this server has no users and no tokens; everyone may use it without a login")
        return self.context.authenticator

    async def _answer(self, principal: Principal | None, *, can_log_out: bool) -> None:
        user = None if principal is None else principal.name
        role = None if principal is None else principal.role.value
        await self.send_json({"needsLogin": self.context.authenticator is not None, "user": user, "role": role, "canLogOut": can_log_out})


def _read_token(body: bytes) -> str:
    given = read_object(body)
    faults = [Fault(name, "is not a field of a login; there is only token") for name in given if name != "token"]
    token = given.get("token")
    if not isinstance(token, str) or not token.strip():
        faults.append(Fault("token", "is missing; give a token, as text"))
    if faults or not isinstance(token, str):
        raise Invalid(faults)
    return token.strip()
