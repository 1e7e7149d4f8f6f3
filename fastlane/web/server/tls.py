"""TLS: the certificate and the key that the server serves with, read again when their files change."""

import asyncio
import ssl
from pathlib import Path

import structlog

from fastlane.config.access_files import fingerprint
from fastlane.errors import FastlaneError
from fastlane.web.server.file_watch import FileWatch

log = structlog.get_logger()


class TlsCertificate:
    """A certificate with its key. ``context`` is for the server: new connections use what it has loaded last."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Reads the files. Raises FastlaneError, which says what is wrong with them."""
        self._certificate = certificate
        self._key = key
        self._seen = fingerprint((certificate, key))
        self.context = self._load(_new_context())

    def watch(self) -> FileWatch:
        """Watches the files. While they cannot be used, the server goes on with the certificate that it has."""
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
