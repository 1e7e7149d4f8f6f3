"""What the clients of a run make of answers that do not come at once, or say that there is nothing yet."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.record import Journal


@contextmanager
def answering(record: Path, *answers: tuple[int, str]) -> Iterator[Clients]:
    """The clients of a server that gives these answers, one after another, and then the last of them."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, words = left.pop(0) if len(left) > 1 else left[0]
            body = json.dumps({"detail": words}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with closing(Journal(record)) as journal, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield Clients([server.server_port], "token", "image", "mount", journal)
        finally:
            server.shutdown()


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_execution_that_has_not_started_has_an_empty_log(tmp_path: Path) -> None:
    words = "execution e-1 has no output yet: it is enqueued and has not started"
    with answering(tmp_path / "record", (503, "later"), (404, words)) as clients:
        assert clients.log("/stdout") == ""


def test_a_client_pauses_before_it_asks_for_a_stop_again_and_writes_down_the_answers(tmp_path: Path) -> None:
    with answering(tmp_path / "record", (503, "later"), (200, "")) as clients:
        clients.stop("job-1")
    asked = rows(tmp_path / "record")
    assert [row["status"] for row in asked] == [None, 503, None, 200]
    assert int(str(asked[2]["sent"])) - int(str(asked[1]["answered"])) >= 450
