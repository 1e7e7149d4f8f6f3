"""Reads files again in a running server when they change: users and tokens, and the certificate of TLS."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog
from tornado.web import Application

from fastlane.config.access import AccessFiles, Fingerprint, fingerprint
from fastlane.errors import FastlaneError, Invalid
from fastlane.web.server import context_of

EVERY = 1.0
"""Seconds between two checks."""

log = structlog.get_logger()


class FileWatch:
    """Calls ``on_change`` after each change of the files, beginning with a change since ``seen``. ``on_change`` reads them itself; when it
    fails, it is called again only after the next change."""

    def __init__(self, files: Sequence[Path], seen: Fingerprint, on_change: Callable[[], Awaitable[None]]) -> None:
        self._files = tuple(files)
        self._seen = seen
        self._on_change = on_change

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            found = await asyncio.to_thread(fingerprint, self._files)
            if found != self._seen:
                self._seen = found
                try:
                    await self._on_change()
                except Exception:
                    log.exception("files.not_reloaded", files=[str(file) for file in self._files])
            await asyncio.sleep(EVERY)


def access_watch(app: Application, access: AccessFiles) -> FileWatch | None:
    """Watches the files of users and tokens. None for a server that started without any: it lets everyone in until it is started again."""
    context = context_of(app)
    authenticator = context.authenticator
    if authenticator is None:
        return None

    async def reload() -> None:
        try:
            found = await asyncio.to_thread(access.read)
        except Invalid as error:
            log.error("access.not_reloaded", faults=[str(fault) for fault in error.faults])
            return
        revoked = authenticator.replace(found.users, found.tokens)
        context.services.followers.revoke(revoked)
        log.info("access.reloaded", users=len(found.users), tokens=len(found.tokens), changed_or_gone=len(revoked))

    return FileWatch(access.files, access.seen, reload)


class TlsCertificate:
    """A certificate with its key. ``context`` is for the server: new connections use what it has loaded last."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Reads the files. Raises FastlaneError, which says what is wrong with them."""
        self._certificate = certificate
        self._key = key
        self._seen = fingerprint((certificate, key))
        self.context = self._load(_new_context())

    def watch(self) -> FileWatch:
        """Watches the files. While they cannot be used, the server continues with the certificate that it has."""
        return FileWatch((self._certificate, self._key), self._seen, self._reload)

    async def _reload(self) -> None:
        try:
            await asyncio.to_thread(self._load, _new_context())  # a context that fails to load half of it is of no use any more
            self._load(self.context)
        except FastlaneError as error:
            log.error("tls.not_reloaded", error=str(error))
        else:
            log.info("tls.reloaded", certificate=str(self._certificate))

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        try:
            context.load_cert_chain(self._certificate, self._key, password="")  # without one, OpenSSL asks for it on the terminal
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise FastlaneError(
                f"cannot serve TLS with tls_certificate {self._certificate} and tls_key {self._key} ({reason}); both are PEM files: the "
                "certificate with its chain, and its key without a password"
            ) from None
        return context


def _new_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # OpenSSL ignores a client that closes before it takes its session tickets, but leaves the error in its queue. Python then reports it
    # for the next connection in this thread that has nothing to read, and that one is cut off. Without tickets there is no such error.
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context
