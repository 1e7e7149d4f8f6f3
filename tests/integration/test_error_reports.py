"""Errors of a real process reach a server that speaks Sentry's protocol, and no secret does."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog

from fastlane import log
from fastlane.config.access import hash_token, make_token
from fastlane.config.settings import Settings
from fastlane.error_reports import SentryReporter, report_of
from fastlane.redaction import redaction_of
from tests.support.installation import installed
from tests.support.waiting import wait_until

SECRET = "hunter2-correct-horse"


class Sentry:
    """Takes envelopes. ``events``: what they report; ``said``: all that came, unpacked."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.said = ""

    def take(self, body: bytes) -> None:
        text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()
        self.said += text
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        self.events += [line for line in lines if "logentry" in line]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events if found["logentry"]["message"] == event]


@pytest.fixture
def sentry() -> Iterator[tuple[Sentry, str]]:
    """A server, and its DSN."""
    taken = Sentry()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_words: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield taken, f"http://{'a' * 32}@127.0.0.1:{server.server_address[1]}/7"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def reporter(sentry: tuple[Sentry, str]) -> Iterator[SentryReporter]:
    made = SentryReporter(sentry[1], version="1.2.3", installation="test", role="worker")
    try:
        yield made
    finally:
        made.close()
        log.configure("console", "info", redaction_of(Settings.defaults().redact_words).message)


def test_a_line_of_an_error_is_reported_as_it_is_written_and_its_secrets_are_not(
    sentry: tuple[Sentry, str], reporter: SentryReporter, capsys: pytest.CaptureFixture[str]
) -> None:
    taken, _ = sentry
    log.configure("json", "info", redaction_of(Settings.defaults().redact_words).message, last=reporter)
    logger = structlog.get_logger()
    log.may_quote({"API_TOKEN": SECRET})
    try:
        raise ValueError(f"refused the login {SECRET}")
    except ValueError:
        logger.exception("assignment.failed", id="e-1", error=f"mongodb://anna:{SECRET}@db/fastlane said {SECRET}")
    logger.warning("execution.not_placed", execution_id="e-2")
    reporter.close()
    written = json.loads(next(line for line in capsys.readouterr().err.splitlines() if "assignment.failed" in line))
    (event,) = taken.events
    assert event["extra"]["id"] == "e-1"
    assert event["extra"]["exception"] == written["exception"]
    assert event["exception"]["values"][0]["type"] == "ValueError"
    assert (event["tags"]["event"], event["tags"]["role"], event["release"]) == ("assignment.failed", "worker", "fastlane@1.2.3")
    assert SECRET not in taken.said
    assert "API_TOKEN" not in taken.said


def test_lines_of_one_event_and_one_kind_of_exception_are_one_issue() -> None:
    line = {"event": "x.failed", "level": "error", "exception": "Traceback …\n  File …\nKeyError: 'a'"}
    assert report_of(line, {})["fingerprint"] == ["x.failed", "KeyError"]
    assert report_of({"event": "x.failed", "level": "error"}, {})["fingerprint"] == ["x.failed"]


def test_a_server_reports_its_errors(sentry: tuple[Sentry, str], engine: str, tmp_path: Path) -> None:
    taken, dsn = sentry
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps([{"name": "ci", "token": hash_token(make_token()), "role": "run"}]))
    with installed(tmp_path, engine, sentry_dsn=dsn, tokens_file=str(tokens)) as fastlane:
        fastlane.serve("up")
        tokens.write_text("[{")
        wait_until(lambda: taken.named("access.not_reloaded"), "the report of the error")
        (event, *_) = taken.named("access.not_reloaded")
        assert event["tags"]["role"] == "up"
        assert not event.get("breadcrumbs", {}).get("values")
        assert "a" * 32 not in json.dumps(event)
