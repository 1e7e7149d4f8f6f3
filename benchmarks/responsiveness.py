"""What people wait for: the commands of a terminal, the first paint of a page on a slow line, and a long log in a browser.

``fastlane up`` runs as its own process on a real engine, with the packages that a user has, and none of the tests'. A command's time runs
from its start to its end, or for ``fastlane run`` to the first byte of the container's output. Beside it is what a user of Docker types
instead. The pages are opened in Chromium, each in a window without a cache, on a line as slow as that of Lighthouse's phone. Paint is the
first contentful one, by the browser's own clock, from the request of the page; beside it is a page of one sentence on the same line. The
log has a million lines, and the one beside it a thousand. They are opened without the slow line, since it is the page's work that counts.
"""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, PIPE

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.figures import Comparison, Figure, Target
from benchmarks.processes import ROOT, resident_bytes
from tests.support.installation import Installation, installed

IMAGE = "ubuntu:latest"
PYTHON = str(ROOT / ".venv/bin/python")
"""Of ``scripts/venv .venv requirements/run.txt``."""
OURS = (PYTHON, "-m", "fastlane")
HELLO = ("sh", "-c", "echo hello; sleep 1")
SERVICE = "bare"
TURNS = 10
"""Commands and pages of each side in a round."""
LINES, FEW = 1_000_000, 1_000
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1_600_000 / 8, "uploadThroughput": 750_000 / 8}
"""Milliseconds, and bytes a second."""
PATIENCE = 120_000.0
SETTLE = 5.0
SENTENCE = b"<!doctype html><meta name=viewport content='width=device-width'><title>one</title><p>One sentence."
PAINT = """() => new Promise(resolve => new PerformanceObserver(list => {
    for (const one of list.getEntries()) if (one.name === 'first-contentful-paint') resolve(one.startTime)
}).observe({type: 'paint', buffered: true}))"""

Times = list[float]
"""The median of each round, in milliseconds."""


@dataclass(slots=True)
class _Pair:
    """What a user waits for, with fastlane and with what is beside it. ``most``: the target, by ``comparison``."""

    name: str
    peer: str = ""
    most: float | None = None
    comparison: Comparison = Comparison.ALONE
    ours: Times = field(default_factory=list)
    theirs: Times = field(default_factory=list)

    def add(self, times: Sequence[tuple[float, ...]]) -> str:
        """Adds a round's times, each ours and then the peer's, if there is one. Returns its line."""
        sides = [median(side) for side in zip(*times, strict=True)]
        for kept, side in zip((self.ours, self.theirs), sides, strict=False):
            kept.append(side)
        return f"{self.name} {' against '.join(f'{side:.0f} ms' for side in sides)}"

    def figure(self) -> Figure:
        """The line of the report."""
        target = None if self.most is None else Target(self.most, at_least=False)
        return Figure(self.name, "ms", self.ours, self.theirs, self.peer, self.comparison, target)


def measure(engine: str, rounds: int, say: Callable[[str], None], *, lines: int = LINES) -> list[Figure]:
    """Measures the commands, the paints, and the log of that many lines."""
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder), engine) as fastlane:
        fastlane.python = PYTHON
        process = fastlane.serve("up")
        time.sleep(SETTLE)
        memory = [resident_bytes(process.pid) / 2**20]
        commands = _commands(fastlane, rounds, say)
        pages = asyncio.run(_pages(fastlane, rounds, say, lines))
    at_rest = Figure(
        "fastlane up, memory once it has started", "MiB", memory, comparison=Comparison.ALONE, target=Target(80.0, at_least=False)
    )
    return [at_rest, *(pair.figure() for pair in (*commands, *pages))]


def _commands(fastlane: Installation, rounds: int, say: Callable[[str], None]) -> list[_Pair]:
    terminal = _Terminal({**os.environ, "FASTLANE_URL": fastlane.url, "DOCKER_HOST": fastlane.engine.hosts[0]})
    helped = _Pair("fastlane --help", "docker --help", 150.0)
    listed = _Pair("fastlane ps", "docker service ls", 150.0)
    ran = _Pair("fastlane run, to the first byte of output", "docker service create, then logs -f", 1.5, Comparison.RATIO)
    for _ in range(rounds):
        for pair, ours, theirs in ((helped, "--help", ("--help",)), (listed, "ps", ("service", "ls"))):
            both = [(terminal.took(*OURS, ours), terminal.took("docker", *theirs)) for _ in range(TURNS)]
            say(pair.add(both))
        both = [
            (terminal.first_byte(*OURS, "run", "--task", "bench", IMAGE, "--", *HELLO), terminal.first_byte_of_service())
            for _ in range(TURNS)
        ]
        say(ran.add(both))
    return [helped, listed, ran]


@dataclass(frozen=True, slots=True)
class _Terminal:
    """Commands with this environment; each takes some milliseconds."""

    environment: Mapping[str, str]

    def took(self, *command: str) -> float:
        """Until its end."""
        began = time.perf_counter()
        subprocess.run(command, env=self.environment, stdin=DEVNULL, capture_output=True, check=True)
        return (time.perf_counter() - began) * 1_000

    def first_byte(self, *command: str, began: float | None = None) -> float:
        """From ``began``, or its start, until its first byte of output is there. It need not end by itself."""
        began = began or time.perf_counter()
        with subprocess.Popen(command, env=self.environment, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as process:
            assert process.stdout is not None
            first = process.stdout.read(1)
            took = time.perf_counter() - began
            process.terminate()
        if first != b"h":
            raise RuntimeError(f"{' '.join(command)} wrote {first!r}")
        return took * 1_000

    def first_byte_of_service(self) -> float:
        """Of Docker's own commands: a service is created, and its log followed. Removes it."""
        began = time.perf_counter()
        self.took("docker", "service", "create", "-d", "--restart-condition", "none", "--name", SERVICE, IMAGE, *HELLO)
        try:
            return self.first_byte("docker", "service", "logs", "-f", "--raw", SERVICE, began=began)
        finally:
            self.took("docker", "service", "rm", SERVICE)


async def _pages(fastlane: Installation, rounds: int, say: Callable[[str], None], lines: int) -> list[_Pair]:
    long, short = (fastlane.run("sh", "-c", f"seq {count}; sleep 1", task="bench") for count in (lines, FEW))
    for reply in (long, short):
        if (end := fastlane.ends(reply))["status"] != "done":
            raise RuntimeError(f"a job that writes lines ended as {end}")
    console = _Pair("first paint of the console, on a slow line", "a page of one sentence", 2.25, Comparison.RATIO)
    log = _Pair("first paint of a log's page, on a slow line", "a page of one sentence", 2.25, Comparison.RATIO)
    opened = _Pair(f"a log of {lines:,} lines, opened at its end", f"one of {FEW:,} lines", comparison=Comparison.RATIO)
    searched = _Pair("a search in its page, until the matches are counted")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        with _sentence() as bare:
            for _ in range(rounds):
                for pair, url in ((console, f"{fastlane.url}/"), (log, f"{short['jobUrl']}stream")):
                    both = [(await _painted(browser, url), await _painted(browser, bare)) for _ in range(TURNS)]
                    say(pair.add(both))
                logs = [
                    (await _at_end(browser, long["jobUrl"], lines), await _at_end(browser, short["jobUrl"], FEW)) for _ in range(TURNS // 2)
                ]
                say(opened.add([(ours[0], theirs[0]) for ours, theirs in logs]))
                say(searched.add([ours[1:] for ours, _ in logs]))
        await browser.close()
    return [console, log, opened, searched]


async def _painted(browser: Browser, url: str) -> float:
    """The milliseconds until a page is first painted, on a slow line."""
    context = await browser.new_context()
    page = await context.new_page()
    line = await context.new_cdp_session(page)
    await line.send("Network.enable")
    await line.send("Network.emulateNetworkConditions", SLOW)
    await page.goto(url, wait_until="commit", timeout=PATIENCE)
    took = float(await page.evaluate(PAINT))
    await context.close()
    return took


async def _at_end(browser: Browser, job: str, lines: int) -> tuple[float, float]:
    """The milliseconds until the last line of a log is shown, and then those of a search for one line in a thousand."""
    context = await browser.new_context()
    page = await context.new_page()
    began = time.perf_counter()
    await page.goto(f"{job}stream", wait_until="commit", timeout=PATIENCE)
    await page.locator("#log .row .text", has_text=f"{lines}").last.wait_for(timeout=PATIENCE)
    opened = (time.perf_counter() - began) * 1_000
    searched = await _searched(page)
    await context.close()
    return opened, searched


async def _searched(page: Page) -> float:
    """The milliseconds until the matches among the lines that the page keeps are counted."""
    began = time.perf_counter()
    await page.locator("#query").fill("999")
    await page.locator("#found").filter(has_text=re.compile(r"\d")).wait_for(timeout=PATIENCE)
    return (time.perf_counter() - began) * 1_000


@contextmanager
def _sentence() -> Iterator[str]:
    """A server of the page of one sentence; its address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(SENTENCE)))
            self.end_headers()
            self.wfile.write(SENTENCE)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
