"""``make bench-quick``: counts what a job costs, compares that with ``expected.json``, and reports two ratios.

The counts do not depend on noise: statements of SQLite, commands of MongoDB, calls of Redis and of an engine, and instructions. The ratios
do, so nothing follows from them.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import uvloop

from benchmarks import counts, dispatch, engine_calls, enqueue, instructions, load
from benchmarks.expectations import INSTRUCTIONS, Counts, differences, read, write
from benchmarks.processes import api, child, settings_for
from fastlane import log
from tests.support.ports import free_port
from tests.support.redis import RealRedis

FILE = Path(__file__).with_name("expected.json")
SECONDS, JOBS = 2.0, 500
PATIENCE = 600.0
Say = Callable[[str], None]


@click.command()
@click.option("--accept", is_flag=True, help="Make what was counted the new expectations.")
@click.option("--ratios/--no-ratios", default=True, help="Also measure the ratios.")
def main(accept: bool, ratios: bool) -> None:
    """Counts, compares, and ends with 1 when a count has grown."""
    log.configure("json", "error")
    began, about = time.monotonic(), surroundings()
    found = counted(click.echo)
    if accept:
        write(FILE, about, found)
        click.echo(f"Written to {FILE.relative_to(Path.cwd())}. Commit it with the change that it follows from.")
    code = compared(about, found, click.echo)
    if ratios:
        report_ratios(click.echo)
    click.echo(f"{time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.2f}")
    sys.exit(code)


def surroundings() -> dict[str, Any]:
    """What the number of instructions depends on."""
    return {"python": platform.python_version(), "machine": platform.machine()}


def counted(say: Say) -> Counts:
    """All counts."""
    say("==> statements and calls of Redis")
    steps = uvloop.run(counts.count())
    found: dict[str, Mapping[str, int]] = {}
    for name in counts.STEPS:
        step: counts.Step = getattr(steps, name)
        found |= {f"{name}: statements": step.statements, f"{name}: Redis": step.redis}
    say("==> commands of MongoDB")
    found |= {f"{name}: MongoDB": commands for name, commands in on_mongo("counts").items()}
    say("==> keys of MongoDB's indexes")
    found |= on_mongo("route_keys", "--json")
    say("==> calls of an engine")
    found |= engine_calls.count()
    say("==> instructions")
    found[INSTRUCTIONS] = instructions.count()
    for group, calls in found.items():
        say(f"{group}: {sum(calls.values()):,} ({', '.join(f'{count:,} {call}' for call, count in calls.items())})")
    return found


def on_mongo(*module: str) -> dict[str, dict[str, int]]:
    """What this module counts on a server of MongoDB's protocol: in a process of its own, since a process has one kind of store."""
    name, *arguments = module
    command, around = [sys.executable, "-m", f"benchmarks.{name}", *arguments], {**os.environ, "FASTLANE_TEST_STORE": "mongo"}
    done = subprocess.run(command, env=around, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    found: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(about: Mapping[str, Any], found: Counts, say: Say) -> int:
    """Says what differs from the expectations. Returns the exit code."""
    expected_about, expected = read(FILE)
    if about != expected_about:
        say(f"Instructions are not compared: those expected were counted on {expected_about}, and this is {about}.")
        expected, found = ({group: rows for group, rows in side.items() if group != INSTRUCTIONS} for side in (expected, found))
    differing = list(differences(expected, found))
    grown = [one for one in differing if one.is_growth]
    for one in differing:
        say(f"{'MORE' if one.is_growth else 'less'}  {one}")
    if grown:
        say("A job costs more than before. Where that is worth it: make bench-quick ARGS=--accept, and say in the commit what it buys.")
    elif differing:
        say("A job costs less than before. So that it stays so: make bench-quick ARGS=--accept")
    else:
        say("All counts are as expected.")
    return 1 if grown else 0


def report_ratios(say: Say) -> None:
    """One short round of what ``make bench`` measures well."""
    bare_port = free_port()
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        settings = {**settings_for(folder, redis.url), "FASTLANE_LOG_FORMAT": "console"}
        with api(settings) as port, child("bare_handler", str(bare_port)):
            ours, bare = _enqueued(port), _enqueued(bare_port)
    one, two = dispatch.dispatch(1, JOBS), dispatch.dispatch(2, JOBS)
    say(f"enqueue, {enqueue.MANY} connections: {ours:,.0f}/s, {ours / bare:.2f} of a bare handler ({bare:,.0f}/s)")
    say(f"dispatch: {one:,.0f}/s by one worker; {two:,.0f}/s by two, {two / one:.2f} of that")


def _enqueued(port: int) -> float:
    """Requests a second, once the server is warm."""
    request = load.post(port, "/tasks/bench", enqueue.BODY)
    rates = [uvloop.run(load.run(port, request, connections=enqueue.MANY, seconds=seconds)).rate for seconds in (1.0, SECONDS)]
    return rates[-1]


if __name__ == "__main__":
    main()
