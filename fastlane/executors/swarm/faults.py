"""Decides whose fault a failed call to an engine is: translates aiohttp's exceptions and an engine's refusals into fastlane's exceptions.

========================================== ============================== ===============
what happened                              what aiohttp raises            what we raise
========================================== ============================== ===============
refused, reset, closed, no name, no socket ``ClientOSError``              HostDown
a black hole                               ``ConnectionTimeoutError``     HostTimeout
a host that says nothing, or stops midway  ``SocketTimeoutError``         HostTimeout
an answer that is not HTTP                 ``ClientResponseError``        HostDown
an answer that breaks off                  ``ClientPayloadError``         HostDown
TLS; a certificate that is wrong           ``ClientSSLError``             HostDown
========================================== ============================== ===============

============================================================= ===============
what the engine answers                                       what we raise
============================================================= ===============
what is not JSON                                              HostDown
JSON of another form than an engine's (``readable``)          HostDown
no manager, no leader, 502…504                                HostDown
no space left on its disk                                     DiskFull
500, out of sequence                                          OutOfSequence
409, the name is taken                                        NameTaken
409, someone uses it                                          InUse
404                                                           ServiceGone
400                                                           Malformed
a 5xx that fastlane does not know                             RefusedForNow
every other refusal                                           OrderRefused
============================================================= ===============

Only a HostDown is the host's own fault.
"""

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import aiohttp

from fastlane.errors import FastlaneError, HostDown, OrderRefused, RefusedForNow, ServiceGone

NOT_A_MANAGER = "is not a swarm manager: run docker swarm init"
NO_SPACE = "no space left on device"


_EXPANDED = re.compile(r'(expanding (?:env|map entry) "[^"=\\]{0,256}=?)(?:[^"\\]|\\.)*"?(=(?:"(?:[^"\\]|\\.)*"?)?)?')
"""An engine's words about a template that it cannot expand. They quote the whole variable, which may be a service's secret."""


def without_values(words: str) -> str:
    """An engine's words, without the values of variables in them. (A quotation may be cut.)"""
    return _EXPANDED.sub(r'\1…"', words)


class HostTimeout(HostDown):
    """The host did not answer in time. Its probe may succeed nevertheless."""


class DiskFull(HostDown):
    """The host has no space left on its disk."""


class NotHostsFault(HostDown):
    """A failure that the breaker does not count: the call was not made (the breaker is open, or no connection became free), or the host
    did not get an answer from another node."""


class OutOfSequence(FastlaneError):
    """The service changed between the inspect and the update."""


class Malformed(OrderRefused):
    """The engine calls a part of the request malformed (400)."""


class NameTaken(FastlaneError):
    """There is a service of this name."""


class InUse(OrderRefused):
    """The thing to remove is in use (409)."""


_HOST_WORDS = (
    ("does not have a leader", "is a manager of a swarm without a leader"),
    ("raft: no elected cluster leader", "is a manager of a swarm without a leader"),
    ("raft: failed to process the request", "is a manager of a swarm that just lost its leader"),
    ("raft: node is not yet part of a raft cluster", "is a manager that is not yet back in its swarm"),
    ("encrypted and needs to be unlocked", "is a manager of a locked swarm: run docker swarm unlock"),
    ("Worker nodes can't be used", "is a worker of its swarm: register a manager, or run docker node promote"),
    ("This node is not a swarm manager", NOT_A_MANAGER),
    ("This node is not part of a swarm", NOT_A_MANAGER),
    (NO_SPACE, "has no space left on its disk"),
    ("context deadline exceeded", "could not reach its swarm in time"),
    ("code = Unavailable", "cannot reach its swarm"),
    ("code = Canceled", "lost the connection to its swarm's leader"),
    ("HTTP request to an HTTPS server", "speaks TLS there: name the files of tls in its pool"),
)
_HOST_STATUSES = frozenset({429, 502, 503, 504})
_ORDER_WORDS = ("raft message is too large", "message larger than max", "constraint expected", "code = InvalidArgument")
"""Words of a 500 that blame the request, so that the engine will answer the same again."""

CLOSED = "closed the connection"
NOT_HTTP = "answered what is not HTTP: is it a Docker engine?"

UNKNOWN_NAME = "has a host name that cannot be looked up: correct its address, or the name service of the worker"

_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "refused the connection"),
    (FileNotFoundError, "has no socket there: is the engine running?"),
    (PermissionError, "does not let this user in: join the group of its socket"),
    (socket.gaierror, UNKNOWN_NAME),
    (ssl.SSLEOFError, CLOSED),
    (ConnectionResetError, CLOSED),
    (BrokenPipeError, CLOSED),
)
_CLIENT_CAUSES = ((aiohttp.ServerDisconnectedError, CLOSED), (aiohttp.ClientResponseError, NOT_HTTP))
"""The client's exceptions without a more precise cause."""
_CERTIFICATES = {
    9: "shows a certificate that is not valid yet",
    10: "shows a certificate that has expired",
    62: "shows a certificate for another host name than the one in its address",
    64: "shows a certificate for another IP address than the one in its address",
}
"""The meaning of the codes of OpenSSL's verification."""
_REFUSED_CERTIFICATE = re.compile(r"ALERT_(UNKNOWN_CA|\w*CERTIFICATE\w*|ACCESS_DENIED|DECRYPT_ERROR)|ALERT_HANDSHAKE_FAILURE")
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"})


def connection_words(error: BaseException) -> str | None:
    """The fault of a connection, in words that follow the host's name; None when the error does not tell."""
    causes = list(_causes(error))
    found = (words for kind, words in _CAUSES if any(isinstance(cause, kind) for cause in causes))
    # aiohttp's errors of TLS are SSLErrors too, without the details
    tls = (_tls_words(cause) for cause in causes if isinstance(cause, ssl.SSLError) and type(cause).__module__ == ssl.__name__)
    client = (words for kind, words in _CLIENT_CAUSES if isinstance(error, kind))
    return next(found, None) or next(tls, None) or next(client, None)


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        other = f"shows a certificate that the file ca in the settings does not vouch for ({error.verify_message})"
        return _CERTIFICATES.get(error.verify_code, other)
    reason = getattr(error, "reason", None) or ""
    if _REFUSED_CERTIFICATE.search(reason):
        return f"does not accept fastlane's certificate ({reason.replace('_', ' ').lower()})"
    if reason in _NOT_TLS:
        return "does not speak TLS there: let its engine verify clients (--tlsverify), or correct the port"
    return f"has a fault in its TLS ({reason.replace('_', ' ').lower() or error})"


def refusal(status: int, explanation: str, host: str) -> FastlaneError:
    """fastlane's exception for an engine's answer with this status and message."""
    explanation = without_values(explanation)
    for words, meaning in _HOST_WORDS:
        if words in explanation:
            return (DiskFull if words == NO_SPACE else HostDown)(f"{host} {meaning}")
    if status in _HOST_STATUSES:
        return HostDown(f"{host} answered {status}: {plain(explanation)}")
    if "out of sequence" in explanation:
        return OutOfSequence(explanation)
    if status == 409 and "name conflicts" in explanation:
        return NameTaken(explanation)
    words = plain(explanation) or f"status {status}"
    if status == 409:
        return InUse(words)
    if status == 404:
        return ServiceGone(words)
    if status == 400:
        return Malformed(words)
    unknown = status >= 500 and status != HTTPStatus.NOT_IMPLEMENTED and not any(order in explanation for order in _ORDER_WORDS)
    return RefusedForNow(words) if unknown else OrderRefused(words)


@contextmanager
def readable(host: str) -> Iterator[None]:
    """Wraps code that reads an engine's answer. An answer that does not have an engine's form is the host's fault: raises HostDown then."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise HostDown(f"{host} answered what is not an engine's answer ({type(error).__name__}: {error})") from error


def message(body: bytes) -> str:
    """The message of an engine's answer that is not a 200."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()


def lost_service_words(service: str, node: str | None) -> str:
    """The words for a host whose name is of one part, as services have it, and is not known: Docker's name service knows only services that
    have a running task. ``node``: the name of the node that answered there last, if one has."""
    shows = f"`docker service ps --no-trunc STACK_{service}` says on which node one should run, and why it does not"
    if node is None:
        return (
            f"has a host name that is not known: if {service} is a machine, correct its address, or the name service of the worker; "
            f"if it is the engine filter of a stack, the service {service} has no running task: {shows}"
        )
    return (
        f"has no engine filter that runs: the service {service} has no running task; it ran on {node}; {shows} "
        f"(if {service} is a machine and no service, correct its address, or the name service of the worker)"
    )


def timeout_words(seconds: float) -> str:
    """The words for a host that did not answer within that many seconds."""
    return f"did not answer within {seconds:g} s"


def plain(explanation: str) -> str:
    """The engine's words without the prefixes of its remote calls; at most 500 characters."""
    return re.sub(r"^(rpc error: code = \w+ desc = )+", "", explanation.strip())[:500]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes, including those that aiohttp passes on as arguments."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending and len(seen) < 20:
        found = pending.pop(0)
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            pending += [*found.args, found.__cause__, found.__context__]
