"""What ``fastlane up`` prints once it serves HTTP: where it listens, what to open, and who can reach it."""

from collections.abc import Iterator
from importlib.resources import files
from ipaddress import ip_address

from fastlane.config.settings import Settings

PAGES_MISSING = "To have them, install Node.js and npm, then run `pip install --force-reinstall --no-deps .` in the clone."


def welcome(settings: Settings, port: int) -> str:
    """The lines for a person."""
    url = settings.public_url or _url(settings, port)
    return "\n".join([f"fastlane listens on {_url(settings, port)} ({_reach(settings)})", *_advice(url)])


def open_to_all(settings: Settings) -> str | None:
    """The warning that everyone who reaches the server may do everything; None where nobody else does, or people log in."""
    if ip_address(settings.listen).is_loopback or settings.users or settings.tokens:
        return None
    return (
        f"warning: {settings.listen} lets other machines in and there are no users and no tokens, so everyone who reaches the port can run "
        "any container; `fastlane token` makes a token"
    )


def _advice(url: str) -> Iterator[str]:
    if files("fastlane.static").joinpath("pages").is_dir():
        yield f"Open {url}/ in a browser; the API is at {url}/docs, and the log of a job at its jobUrl with stream at the end."
    else:
        yield f"The web pages are missing. {PAGES_MISSING}"
    yield f"""Run a job: curl -XPOST -d'{{"image": "ubuntu:latest", "command": "ls -lah"}}' {url}/tasks/test-task"""
    yield "Stop it with Ctrl-C; containers that run go on, and the next start takes them up again."


def _url(settings: Settings, port: int) -> str:
    address = ip_address(settings.listen)
    host = "localhost" if address.is_unspecified else f"[{address}]" if address.version == 6 else str(address)
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{port}"


def _reach(settings: Settings) -> str:
    address = ip_address(settings.listen)
    return (
        "this machine only" if address.is_loopback else "every address of this machine" if address.is_unspecified else "other machines too"
    )
