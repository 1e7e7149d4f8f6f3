"""Whose fault a failed call is: what aiohttp raises, and what an engine or a registry answers."""

import json
import socket
import ssl
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from fastlane.errors import FastlaneError, HostDown, ImageRefused, OrderRefused, RefusedForNow, RegistryDown, ServiceGone
from fastlane.executors.swarm.faults import DiskFull, InUse, Malformed, NameTaken, OutOfSequence, connection_words, message, refusal
from fastlane.executors.swarm.images import registry_fault
from fastlane.executors.swarm.transport import EngineTransport
from fastlane.models.host import Endpoint


def caused(outer: Exception, cause: BaseException) -> Exception:
    outer.__cause__ = cause
    return outer


TO = ConnectionKey("h", 2375, False, True, None, None, None)


def refused(cause: OSError) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(TO, cause)


DOWN: list[tuple[BaseException, str | None]] = [
    (refused(ConnectionRefusedError(111, "Connection refused")), "refused the connection"),
    (refused(FileNotFoundError(2, "No such file")), "has no socket there"),
    (refused(PermissionError(13, "Permission denied")), "does not let this user in"),
    (aiohttp.ClientConnectorDNSError(TO, socket.gaierror(-2, "Name or service not known")), "cannot be looked up"),
    (aiohttp.ClientOSError(104, "reset"), None),
    (caused(aiohttp.ClientOSError(104, "reset"), ConnectionResetError(104, "reset")), "closed the connection"),
    (caused(aiohttp.ClientOSError(32, "pipe"), BrokenPipeError(32, "pipe")), "closed the connection"),
    (aiohttp.ServerDisconnectedError(), "closed the connection"),
    (aiohttp.ClientPayloadError("cut"), None),
    (aiohttp.ClientConnectorSSLError(TO, ssl.SSLError("bad certificate")), "has a fault in its TLS"),
    (caused(aiohttp.ClientOSError(8, "EOF"), ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), "closed the connection"),
    (aiohttp.ClientResponseError(cast(Any, None), ()), "answered what is not HTTP"),
    (OSError("odd"), None),
]


@pytest.mark.parametrize(("error", "words"), DOWN)
def test_what_breaks_off_says_what_it_was_where_that_can_be_told(error: BaseException, words: str | None) -> None:
    found = connection_words(error)
    assert found is None if words is None else words in (found or "")


ANSWERS: list[tuple[int, str, type[FastlaneError], str]] = [
    (503, 'This node is not a swarm manager. Use "docker swarm init" …', HostDown, "run docker swarm init"),
    (503, "This node is not a swarm manager. Worker nodes can't be used to view …", HostDown, "is a worker of its swarm"),
    (500, "rpc error: code = Unknown desc = The swarm does not have a leader. …", HostDown, "without a leader"),
    (500, "raft: failed to process the request: node lost leader status", HostDown, "just lost its leader"),
    (500, "rpc error: code = Unknown desc = raft: no elected cluster leader", HostDown, "without a leader"),
    (500, "raft: raft message is too large and can't be sent", OrderRefused, "too large"),
    (500, "rpc error: code = Canceled desc = grpc: the client connection is closing", HostDown, "lost the connection"),
    (503, "Swarm is encrypted and needs to be unlocked before it can be used.", HostDown, "run docker swarm unlock"),
    (500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", HostDown, "in time"),
    (500, "write /var/lib/docker/swarm/…: no space left on device", DiskFull, "no space left"),
    (400, "Client sent an HTTP request to an HTTPS server.\n", HostDown, "speaks TLS there"),
    (502, "<html>Bad gateway</html>", HostDown, "answered 502"),
    (404, "service x not found", ServiceGone, "service x not found"),
    (409, "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service x already exists", NameTaken, ""),
    (500, "rpc error: code = Unknown desc = update out of sequence", OutOfSequence, ""),
    (
        400,
        'rpc error: code = InvalidArgument desc = ContainerSpec: "x y" is not a valid repository/tag',
        Malformed,
        'ContainerSpec: "x y"',
    ),
    (500, "rpc error: code = Unknown desc = constraint expected one operator from ==, !=", OrderRefused, "constraint expected"),
    (500, "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5 vs. 4)", OrderRefused, "larger than max"),
    (500, "rpc error: code = Unknown desc = something quite new", RefusedForNow, "something quite new"),
    (500, "", RefusedForNow, "status 500"),
    (507, "no room", RefusedForNow, "no room"),
    (501, "not implemented", OrderRefused, "not implemented"),
    (403, "a proxy does not allow this", OrderRefused, "does not allow"),
    (409, "conflict: unable to remove repository reference", InUse, "unable to remove"),
    (400, "", Malformed, "status 400"),
]


@pytest.mark.parametrize(("status", "text", "kind", "words"), ANSWERS)
def test_an_engines_refusal(status: int, text: str, kind: type[FastlaneError], words: str) -> None:
    found = refusal(status, text, "h:2375")
    assert type(found) is kind
    assert words in str(found)
    assert "rpc error" not in str(found) or kind in {NameTaken, OutOfSequence}


@pytest.mark.parametrize(
    ("body", "text"), [(json.dumps({"message": 'a "word"'}).encode(), 'a "word"'), (b" plain \n", "plain"), (b"[1]", "[1]")]
)
def test_the_message_of_an_answer(body: bytes, text: str) -> None:
    assert message(body) == text


LOOKUP = 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: '
REGISTRY: list[tuple[int, str, Any]] = [
    (500, LOOKUP + "no such host", (RegistryDown, True)),
    (500, LOOKUP + "dial udp 10.0.0.1:53: connect: network is unreachable", (RegistryDown, True)),
    (500, 'Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', (RegistryDown, False)),
    (500, 'Get "https://r/v2/": net/http: TLS handshake timeout', (RegistryDown, False)),
    (500, 'Get "https://r/v2/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)', (RegistryDown, False)),
    (500, "toomanyrequests: You have reached your pull rate limit.", (RegistryDown, False)),
    (503, "received unexpected HTTP status: 503 Service Unavailable", (RegistryDown, False)),
    (500, "something quite new", (RegistryDown, False)),
    (400, "invalid reference format: repository name (library/UPPER) must be lowercase", (ImageRefused, None)),
    (401, "unauthorized: authentication required", (ImageRefused, None)),
    (403, "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required\n", (ImageRefused, None)),
    (404, "manifest unknown: manifest unknown", (ImageRefused, None)),
    (500, "manifest unknown: manifest unknown", (ImageRefused, None)),
    (500, 'Get "http://localhost:99999/v2/": dial tcp: address 99999: invalid port', (ImageRefused, None)),
    (500, "no manifest found for full image ID", (ImageRefused, None)),
    (500, 'Head "http://r:5000/v2/team/app/manifests/1": no basic auth credentials', (ImageRefused, None)),
    (500, 'Head "https://tls.example.com/v2/lookup/timeout/manifests/eof": no basic auth credentials', (ImageRefused, None)),
    (500, 'Head "https://unauthorized.example.com/v2/denied/manifests/1": EOF', (RegistryDown, False)),
]


@pytest.mark.parametrize(("status", "text", "expected"), REGISTRY)
def test_an_image_that_an_engine_could_not_resolve(status: int, text: str, expected: tuple[type[FastlaneError], bool | None]) -> None:
    found = registry_fault(status, text, "image:1", "h:2375")
    assert (type(found), getattr(found, "nameless", None)) == expected
    assert text.splitlines()[0] in str(found)


@pytest.mark.parametrize(
    ("image", "status", "text", "words"),
    [
        ("ubunut:latest", 404, "manifest unknown", "there is no image ubunut:latest in docker.io: manifest unknown"),
        ("r:5000/app:1", 404, "", "there is no image r:5000/app:1 in r:5000: status 404"),
        (
            "ubunut",
            500,
            "pull access denied for ubunut, repository does not exist",
            "the image ubunut does not exist, or docker.io requires a login that fastlane does not have for it: "
            "pull access denied for ubunut, repository does not exist",
        ),
        (
            "r:5000/app",
            401,
            "incorrect username or password",
            "the image r:5000/app does not exist, or r:5000 requires a login that fastlane does not have for it: "
            "incorrect username or password",
        ),
        ("A/b", 400, "invalid reference format", "A/b is not an image reference: invalid reference format"),
        ("ab", 400, "unsupported", "docker.io refuses the image ab: unsupported"),
    ],
)
def test_an_image_that_is_refused_is_named_and_explained_before_the_registrys_words(image: str, status: int, text: str, words: str) -> None:
    assert str(registry_fault(status, text, image, "h:2375")) == words


def test_the_words_of_a_registry_do_not_tell_the_account() -> None:
    text = 'Get "https://auth.docker.io/token?account=anna&scope=repository%3Ax&service=r": unauthorized: incorrect username or password'
    found = registry_fault(401, text, "image:1", "h:2375")
    assert str(found).endswith(': Get "https://auth.docker.io/token": unauthorized: incorrect username or password')
    assert "anna" not in str(found)
    assert type(found) is ImageRefused


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            'expanding env failed: expanding env "PASSWORD=hunter22{{bad": unexpected',
            'expanding env failed: expanding env "PASSWORD=…": unexpected',
        ),
        ('expanding env "PASSWORD=hunt\\"er22": x', 'expanding env "PASSWORD=…": x'),
        ('expanding env "PASSWORD=hunter22{{b', 'expanding env "PASSWORD=…"'),
        ('expanding map entry "device"="hunter22{{x": y', 'expanding map entry "device…": y'),
    ],
)
def test_a_refusal_does_not_quote_the_value_of_a_variable(words: str, shown: str) -> None:
    """It may be the secret of a service as whose container a job runs."""
    assert str(refusal(400, words, "h:2375")) == shown


def test_a_manager_whose_filter_is_gone_is_told_with_the_node_that_answered_last() -> None:
    transport = EngineTransport(Endpoint("engine-3:2375", insecure=True))
    transport.node = "node3"
    unknown = HostDown(f"engine-3:2375 {connection_words(socket.gaierror(-2, 'Name or service not known'))}")
    words = "engine-3:2375 has no engine filter that runs: the service engine-3 has no running task; it ran on node3; `docker service ps"
    assert str(transport.explain(unknown)).startswith(words)
    transport.node = None
    words = "engine-3:2375 has a host name that is not known: if engine-3 is a machine, correct its address, or the name service"
    assert str(transport.explain(unknown)).startswith(words)
    machine = EngineTransport(Endpoint("engine-3.example.com:2375", insecure=True))
    assert machine.explain(unknown) is unknown
