"""What the console costs beside a long history: ``python -m benchmarks.console [EXECUTIONS]``, on a SQLite file; no part of ``make bench``.

The store has so many executions that have ended over 30 days, 100 of each job, all jobs in one task (10,000 jobs beside
1,000,000 executions), and the hourly counts of 200 tasks. Measured are the requests of each page, one after another on one
connection, and the pages in Chromium: until their rows are shown, and the longest task of the page's script while one types and
walks through the rows. With 1,000,000 executions it takes some three minutes, and 1.3 GB of disk.
"""

import asyncio
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import click
import uvloop
from playwright.async_api import Page, async_playwright

from benchmarks.figures import percentile
from benchmarks.history import lengthen
from benchmarks.processes import api
from fastlane.models.retention import HOUR
from fastlane.models.status import Status
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import new
from tests.support.redis import RealRedis

DAYS, TASKS = 30, 200
TURNS = 30
WRONG = "failed,timedout,expired"
LONG_TASKS = """new PerformanceObserver(list => {
    for (const one of list.getEntries()) window.longest = Math.max(window.longest ?? 0, one.duration)
}).observe({type: 'longtask', buffered: true})"""


def requests(job: str) -> Mapping[str, Sequence[str]]:
    """What each page asks for, as ``static/src/console`` does."""
    of_job = f"/tasks/many/jobs/{job}"
    return {
        "overview": (
            "/status",
            "/executions?status=pulling,running&perPage=8",
            "/executions?status=enqueued&perPage=8",
            f"/executions?status={WRONG}&since=24h&perPage=50",
            "/history?hours=24",
        ),
        "tasks": ("/tasks?perPage=50", "/search?query=task&perPage=50", f"/jobs?status={WRONG}&perPage=100"),
        "jobs": ("/jobs?perPage=50", "/jobs?perPage=50&query=none"),
        "task": ("/tasks/many/jobs?perPage=50", "/tasks/many/jobs?perPage=50&status=failed", "/tasks/many/jobs?perPage=50&page=100"),
        "job": (f"{of_job}?perPage=60", f"{of_job}/why", f"{of_job}/ticks?perPage=100", f"/events?job={job}&kind=job&perPage=20"),
        "executions": (
            "/executions?perPage=50",
            f"/executions?perPage=50&status={WRONG}&since=24h",
            "/executions?perPage=50&task=many",
            "/executions?perPage=50&since=7d",
        ),
        "hosts": ("/status", "/pools"),
    }


@click.command()
@click.argument("executions", type=click.IntRange(min=10_000), default=1_000_000)
def main(executions: int) -> None:
    """Measures beside EXECUTIONS executions that have ended."""
    with tempfile.TemporaryDirectory(prefix="fastlane-console-") as folder, RealRedis() as redis:
        file = Path(folder) / "fastlane.db"
        began = time.monotonic()
        job = uvloop.run(fill(file, executions))
        click.echo(f"{executions:,} executions in {time.monotonic() - began:.0f} s, {file.stat().st_size / 2**20:,.0f} MiB")
        with api({"FASTLANE_STORE_URL": f"sqlite:///{file}", "FASTLANE_REDIS_URL": redis.url}) as port:
            ask(port, job)
            asyncio.run(look(f"http://127.0.0.1:{port}", job))


async def fill(file: Path, executions: int) -> str:
    """Fills a new store. Returns the id of one of its jobs."""
    store = SqliteStore(file)
    await store.open()
    now = time.time_ns() // 1_000_000
    job, tick, execution = new("many", now=now)
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, settled=True, cleaned=True))
    await store.close()
    back = f"({now} - n * {DAYS * 86_400_000 // executions})"
    varied = {
        "status": "CASE WHEN n % 33 = 0 THEN 'failed' ELSE 'done' END",
        "scheduled_for": back,
        "started_at": f"{back} + 300",
        "finished_at": f"{back} + 4000",
    }
    await asyncio.to_thread(lengthen, file, executions, varied)
    await asyncio.to_thread(_count, file, executions)
    return f"{0:08x}{job.id[8:]}"


def _count(file: Path, executions: int) -> None:
    """Adds tasks, and rows of hours as if their executions had ended."""
    hour = time.time_ns() // 1_000_000 // HOUR * HOUR
    tasks = "t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < ?)"
    numbers = f"WITH RECURSIVE {tasks}, h (m) AS (SELECT 0 UNION ALL SELECT m + 1 FROM h WHERE m < ?)"
    with closing(sqlite3.connect(file)) as store:
        store.execute(f"{numbers} INSERT INTO tasks SELECT printf('task-%03d', n), 1, 1, 1 FROM t WHERE ?", (TASKS, 1, 1))
        store.execute("UPDATE tasks SET jobs_count = (SELECT count(*) FROM jobs) WHERE id = 'many'")
        each = executions // (TASKS * DAYS * 24)
        columns = "task_id, pool, hour, done, failed, timedout, stopped, expired, started, late, latest"
        values = "printf('task-%03d', n), 'default', ? - m * ?, ?, 1, 0, 0, 0, ?, 300, 900"
        store.execute(f"{numbers} INSERT INTO hours ({columns}) SELECT {values} FROM t, h", (TASKS, DAYS * 24, hour, HOUR, each, each))
        store.commit()
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def ask(port: int, job: str) -> None:
    """Times the requests of each page."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for page, paths in requests(job).items():
            for path in paths:
                times, size = [], 0
                for _ in range(TURNS):
                    began = time.perf_counter()
                    connection.request("GET", path)
                    reply = connection.getresponse()
                    size = len(reply.read())
                    times.append((time.perf_counter() - began) * 1_000)
                    assert reply.status == 200, path
                    time.sleep(0.02)
                p50, most = percentile(times, 50.0), max(times)
                click.echo(f"{page:<11} {path.replace(job, 'J'):<62} p50 {p50:7.1f} ms  most {most:7.1f} ms  {size / 1_000:7.1f} kB")


async def look(base: str, job: str) -> None:
    """Times the pages in a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page()
        await page.add_init_script(LONG_TASKS)
        places = {
            "overview": "",
            "tasks": "console/tasks",
            "jobs": "console/jobs",
            "task": "console/tasks/many",
            "job": f"console/tasks/many/jobs/{job}",
            "executions": "console/executions",
            "hosts": "console/hosts",
        }
        for name, path in places.items():
            shown = [await _shown(page, f"{base}/{path}") for _ in range(5)]
            walked = await _walk(page)
            click.echo(f"{name:<11} shown after {percentile(shown, 50.0):5.0f} ms (5 times), longest task {walked:4.0f} ms")
        await browser.close()


async def _shown(page: Page, url: str) -> float:
    """Milliseconds until the page shows its content."""
    began = time.perf_counter()
    await page.goto(url, wait_until="commit")
    await page.locator("#page section").first.wait_for()
    return (time.perf_counter() - began) * 1_000


async def _walk(page: Page) -> float:
    """The milliseconds of the longest task of its script since it was opened, after one has walked through its rows and typed."""
    await page.keyboard.press("j")
    for _ in range(60):
        await page.keyboard.press("ArrowDown")
    await page.mouse.wheel(0, 5_000)
    if await page.locator("[data-search]").count():
        await page.locator("[data-search]").first.press_sequentially("many", delay=60)
    await page.wait_for_timeout(1_500)
    return float(await page.evaluate("window.longest ?? 0"))


if __name__ == "__main__":
    main()
