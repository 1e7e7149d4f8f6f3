"""The TLS context for connections to one engine, made from its files, and again when their content changes.

An engine is always verified: its certificate by the authority of the settings alone, and its name by the host's address. New connections
use the newest files; open ones go on. While the files cannot be used, for instance because only one of them is new, the context before
stays.
"""

import ssl
import threading
import time
from pathlib import Path

import structlog

from fastlane.config.access_files import Fingerprint, fingerprint
from fastlane.errors import HostDown
from fastlane.models.placement.endpoint import TlsFiles

LOOK_EVERY = 1.0
"""Seconds between two looks at the files."""

log = structlog.get_logger()


class TlsContext:
    """The context for one host. For use from several threads."""

    def __init__(self, host: str, files: TlsFiles) -> None:
        self._host = host
        self._files = files
        self._lock = threading.Lock()
        self._seen: Fingerprint = ()
        self._looked: float | None = None
        self._context: ssl.SSLContext | None = None
        self._fault = ""

    def current(self) -> ssl.SSLContext:
        """The context of the files as they were a second ago at most. Blocks. Raises HostDown while there has been none."""
        with self._lock:
            if self._looked is None or time.monotonic() - self._looked >= LOOK_EVERY:
                self._look()
                self._looked = time.monotonic()
            if self._context is None:
                raise HostDown(f"{self._host} is not asked: {self._fault}")
            return self._context

    def _look(self) -> None:
        files = (self._files.ca, self._files.certificate, self._files.key)
        found = fingerprint(files)
        if found == self._seen:
            return
        self._seen, earlier = found, self._context
        try:
            self._context = _load(self._files)
        except OSError as error:  # an ssl.SSLError is one too
            self._fault = str(error)
            log.warning("host.tls_not_loaded", host=self._host, error=self._fault, kept=earlier is not None)
        else:
            log.info("host.tls_loaded", host=self._host, again=earlier is not None)


def _load(files: TlsFiles) -> ssl.SSLContext:
    """A context that verifies the engine by these files. Raises OSError, whose text names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=files.ca)
    except OSError as error:
        raise _unusable("ca", files.ca, error) from None
    try:
        context.load_cert_chain(files.certificate, files.key, password="")  # without one, OpenSSL asks for it on the terminal
    except OSError as error:
        named = files.key if files.certificate.is_file() else files.certificate
        raise _unusable(f"certificate {files.certificate} and its key", named, error) from None
    return context


def _unusable(what: str, path: Path, error: OSError) -> OSError:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return OSError(f"the TLS file {what} {path} cannot be used ({reason}); it has to be PEM, and a key has to be without a password")
