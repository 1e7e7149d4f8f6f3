"""The pages in Markdown: links lead somewhere, named files exist, and shells accept the commands."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from fastlane.web.api.job import JOB_BODY
from tests.support import api_page, generated
from tests.support.docs import CODE, PAGES, ROOT, commands
from tests.unit.web.test_document import DOCUMENT, operations

pytestmark = pytest.mark.texts

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
GENERATED = {"docs/configuration.md", "docs/api.md"}
HISTORY = {"CHANGELOG.md", *(name for name in NAMES if name.startswith("docs/decisions/"))}
"""Pages that are not written anew."""

LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"`([a-z_][\w./]*\.(?:py|lua|md))`")
UNCLEAR = re.compile(
    r"\b(that of|those of|of those|whoever|so many|so much|nobody wants|tells nobody|(is|are|be|was|were) told|untold|who wants)\b"
    r"(?! apart)(?! to )",
    re.IGNORECASE,
)
"""Words that stand where the subject should be said, or that nobody would say. CONTRIBUTING.md: "How the code reads"."""
UNCLEAR_MESSAGE = re.compile(
    r"\banew\b|\bin place of\b|\bof which\b|(?<!there )\b(is|are) no (?!longer)\w"
    r"|\b(is|are) to (have|be|succeed|start|do)\b|\bfor so long\b",
    re.IGNORECASE,
)
"""Words of a book rather than of a program, in what users read: errors, help, and the texts of the API's document."""
FOLDERS = ("fastlane", "builder", "tests", "docs", "static", "scripts", "benchmarks")
WIDTH = 110


def prose(page: Path) -> str:
    return CODE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_each_link_between_the_pages_leads_to_a_file_and_a_heading(page):
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_first_screen_of_the_readme_offers_each_way_to_run_it():
    block = (ROOT / "README.md").read_text("utf-8").partition("```console\n")[2].partition("```")[0]
    for words in ("make run", "docker run", "pipx install .", "docker stack deploy -c swarm-stack.yml fastlane"):
        assert f"$ {words}" in block, words


@cache
def files():
    """The paths of all files that pages may name."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts)
    return [f"/{path.relative_to(ROOT)}" for path in found]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_each_file_that_a_page_names_exists(page):
    for name in set(NAMED_FILE.findall(prose(page))):
        assert any(path.endswith(f"/{name}") for path in files()), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_shell_takes_each_url_with_a_query_literally(page):
    for command in commands(page):
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
        assert not re.search(r"https?://\S*[?&]", bare), f"quote the URL, which zsh expands otherwise: {command}"


@pytest.mark.parametrize("page", [page for page, name in zip(PAGES, NAMES, strict=True) if name not in GENERATED])
def test_prose_is_wrapped_so_that_a_diff_can_be_read(page):
    text = re.sub(r"<!-- written by [\w -]+: begin -->.*?<!-- written by [\w -]+: end -->", "", prose(page), flags=re.DOTALL)
    for line in text.splitlines():
        spans = re.sub(r"`[^`]*`", "", line)
        assert line.startswith("|") or len(line) <= WIDTH or (spans != line and len(spans) < WIDTH * 2 // 3), line


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = (ROOT / page).read_text("utf-8").partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, f"{page} has no table below {heading}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


THREATS = rows_of("docs/security.md", "## Threat model")
THREAT_TESTS = rows_of("docs/security.md", "### Tests of the threats")
PROMISE_TESTS = rows_of("docs/design.md", "## Tests of the promises")


def test_each_threat_that_fastlane_guards_from_has_tests():
    guarded = [someone for someone, _, does, _ in THREATS if not does.startswith("nothing:")]
    assert list(dict.fromkeys(row[0] for row in THREAT_TESTS)) == guarded


def test_each_promise_of_the_readme_has_tests():
    promises = re.findall(
        r"^- \*\*([^*]+?)\.?\*\*", (ROOT / "README.md").read_text("utf-8").partition("What it promises:")[2], re.MULTILINE
    )
    assert promises[:4] == [row[0] for row in PROMISE_TESTS[:4]]


@pytest.mark.parametrize("row", [*THREAT_TESTS, *PROMISE_TESTS], ids=lambda row: f"{row[0]}: {row[-2]}")
def test_the_tests_of_a_threat_or_a_promise_exist(row):
    names = re.findall(r"`(tests/[^`]+)`", row[-1])
    assert names != []
    assert [name for name in names if not is_there(*name.split("::"))] == []


def is_there(file, test=None):
    path = ROOT / file
    return path.is_file() and (test is None or re.search(rf"^(?:async )?def {test}\(", path.read_text("utf-8"), re.MULTILINE))


def texts(source: str) -> Iterator[tuple[int, str, bool]]:
    """Each string of a module, with its line, and whether it is a message and not a docstring: what people read stands in them."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.split()), id(node) not in docstrings


def unclear(source: str) -> list[tuple[int, str]]:
    """The texts that would be clearer in other words, with their lines."""
    found = texts(source)
    return [(line, text) for line, text, is_message in found if UNCLEAR.search(text) or (is_message and UNCLEAR_MESSAGE.search(text))]


def test_docstrings_and_messages_say_their_subject():
    package = ROOT / "fastlane"
    modules = [path for path in package.rglob("*.py") if "synchronous" not in path.parts]
    assert len(modules) > 50
    assert [f"{path}:{line}: {text}" for path in modules for line, text in unclear(path.read_text("utf-8"))] == []


def test_the_sources_of_the_pages_say_their_subject():
    sources = [path for ending in ("*.ts", "*.html") for path in (ROOT / "static/src").rglob(ending)]
    assert len(sources) > 50
    lines = [(path, line) for path in sources for line in path.read_text("utf-8").splitlines()]
    assert [f"{path}: {line.strip()}" for path, line in lines if UNCLEAR.search(line)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("'the job is to be unique'", False),  # a docstring
        ("raise ValueError('the job is to be unique')", True),
        ("raise ValueError('there is no job')", False),
        ("raise ValueError('image is no object')", True),
        ("'Those of the task.'", True),
    ],
)
def test_an_unclear_text_is_found(source, found):
    assert bool(unclear(source)) is found


@pytest.mark.parametrize("page", [page for page, name in zip(PAGES, NAMES, strict=True) if name not in HISTORY | GENERATED])
def test_pages_say_their_subject(page):
    assert [line for line in prose(page).splitlines() if UNCLEAR.search(line)] == []


def test_each_decision_is_listed_once_under_its_own_title():
    folder = ROOT / "docs/decisions"
    rows = re.findall(r"^\| \[(.*)\]\((\d{4}-.*?\.md)\) \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    titles = {path.name: path.read_text("utf-8").partition("\n")[0].removeprefix("# ") for path in folder.glob("[0-9]*.md")}
    assert sorted(name for _, name in rows) == sorted(titles)
    assert {name: title for title, name in rows} == titles


def test_each_number_without_a_decision_is_explained():
    folder = ROOT / "docs/decisions"
    explained = (folder / "README.md").read_text("utf-8").partition("## Numbers without a record")[2].partition("there never were")[0]
    spans = re.findall(r"\b(\d{4})(?:\s+to\s+(\d{4}))?", explained)
    missing = [number for first, last in spans for number in range(int(first), int(last or first) + 1)]
    there = [int(path.name[:4]) for path in folder.glob("[0-9]*.md")]
    assert sorted([*missing, *there]) == list(range(1, max(there) + 1))


@pytest.mark.parametrize("path", generated.FILES, ids=lambda path: path.name)
def test_what_is_written_from_the_fields_is_that_of_the_code(path):
    text = path.read_text("utf-8")
    assert text == generated.FILES[path](), "write it anew: .venv-test/bin/python -m tests.support.generated"


def test_the_page_of_all_routes_and_fields_has_them_all():
    text = (ROOT / "docs/api.md").read_text("utf-8")
    for path, method, _ in operations(DOCUMENT):
        assert f"| `{method} {api_page.short(path)}` |" in text
    for schema in DOCUMENT["components"]["schemas"].values():
        assert all(f"`{name}` |" in text for name in schema.get("properties", {}))


def test_the_readme_names_every_route_with_its_methods():
    rows = re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    named = {path: set(methods.split(", ")) for path, methods in rows}
    found: dict[str, set[str]] = {}
    for path, method, _ in operations(DOCUMENT):
        found.setdefault(api_page.short(path), set()).add(method)
    assert named == found


def test_getting_started_names_every_field_of_a_job():
    text = (ROOT / "docs/getting-started.md").read_text("utf-8")
    assert not [name for name in JOB_BODY.fields if f"`{name}`" not in text]


def figures(path: str, named: int) -> dict[str, float]:
    """The first number of a column of each row of a page's tables, by the name in another one."""
    rows = [line.strip("| ").split(" | ") for line in (ROOT / path).read_text("utf-8").splitlines() if line.startswith("| ")]
    return {row[named].strip("`"): float(row[1].split()[0].replace(",", "")) for row in rows if re.match(r"[\d.]+", row[1])}


QUOTED = (
    ("docs/install.md", r"A process takes about (\S+) MiB", "a worker, no simulated containers, memory", 1),
    ("docs/sizing.md", r"that does nothing \| .* \| (\S+) MiB; a worker", "a worker, no simulated containers, memory", 1),
    ("docs/sizing.md", r"MiB; a worker (\S+) % of a core", "a worker, no simulated containers", 1),
    ("docs/sizing.md", r"with 100 containers .* \| (\S+) or ", "a worker, 100 simulated containers, no lines", 1),
    ("docs/sizing.md", r"with 100 containers .* or (\S+) % of a core", "a worker, 100 simulated containers, a line a second each", 1),
    ("docs/sizing.md", r"with 100 containers .* core, (\S+) MiB", "a worker, 100 simulated containers, a line a second each, memory", 1),
    ("docs/sizing.md", r"with 1,000 containers .* \| (\S+) or ", "a worker, 1,000 simulated containers, no lines", 1),
    ("docs/sizing.md", r"with 1,000 containers .* or (\S+) % of", "a worker, 1,000 simulated containers, a line a second each", 1),
    (
        "docs/sizing.md",
        r"with 1,000 containers .* core, (\S+) MiB",
        "a worker, 1,000 simulated containers, a line a second each, memory",
        1,
    ),
    ("docs/sizing.md", r"with 20 containers .* \| (\S+) to ", "a worker, 20 real containers, no lines", 1),
    ("docs/sizing.md", r"with 20 containers .* to (\S+) % of", "a worker, 20 real containers, a line a second each", 1),
    ("docs/sizing.md", r"with 20 containers .* core, (\S+) MiB", "a worker, 20 real containers, a line a second each, memory", 1),
    ("docs/sizing.md", r"watches 1,000 hosts .* \| (\S+) % of a core", "an idle worker, 1,000 hosts", 1),
    ("docs/sizing.md", r"after 20,000 jobs.* \| (\S+) and ", "fastlane up, memory after 20,000 jobs", 1),
    ("docs/sizing.md", r"after 100,000 \| .* and (\S+) MiB", "fastlane up, memory after 100,000 jobs", 1),
    ("docs/sizing.md", r"in SQLite's file \| .* \| (\S+) KB, and its log", "a job that has ended, in SQLite's file", 1_000),
    ("docs/sizing.md", r"that has ended, in Redis \| .* \| (\S+) bytes", "a job that has ended, in Redis", 1),
    ("docs/stores.md", r"the job, its tick and its execution \| (\S+) KB with their", "a job that has ended, in SQLite's file", 1_000),
    ("docs/backup.md", r"an export took (\S+) s of processor", "an export of 100,000 jobs, processor time", 1),
    ("docs/backup.md", r"an import (\S+) s, with", "an import of 100,000 jobs, processor time", 1),
    ("docs/backup.md", r"with (\S+) and \S+ MB of memory", "an export of 100,000 jobs, memory", 1),
    ("docs/backup.md", r"with \S+ and (\S+) MB of memory", "an import of 100,000 jobs, memory", 1),
)
"""The figures of the benchmark that other pages quote: the page, where in it, the row of docs/performance.md, and the unit."""


@pytest.mark.parametrize(("page", "place", "row", "unit"), QUOTED, ids=[f"{page} {row}" for page, _, row, _ in QUOTED])
def test_a_figure_that_two_pages_give_is_the_same_but_for_rounding(page, place, row, unit):
    quoted = re.findall(place, re.sub(r"(?<!\|)\n", " ", (ROOT / page).read_text("utf-8")))  # a row of a table stays a line
    assert len(quoted) == 1, place
    digits = len(quoted[0].replace(",", "").replace(".", "").strip("0"))
    measured = figures("docs/performance.md", 0)[row] / unit
    assert float(f"{measured:.{digits}g}") == float(quoted[0].replace(",", "")), f"docs/performance.md has {measured}"


SOURCE = "docs/performance.md"
FOUND = re.compile(r"(?<![\w.,:/`-])(\d[\d,]*(?:\.\d+)?)[ \u00a0](µs|ms|s|seconds|minutes|KiB|MiB|GiB|KB|MB|GB|bytes|%)(?![\w-])")
"""A number with a unit. Words in code are commands and settings."""
COINCIDENCES = {
    "13 ms": "what requests of the console took, and how long a line of a log took in the benchmark",
}
"""Figures that two pages give of different things, and of which."""


def is_measured(number: str) -> bool:
    """Whether a number looks measured. A limit or a deadline is a power of two, has one digit other than 0, or a number of fives or of
    dozens: ``test_promised_times.py`` and the tests of the limits see to those."""
    digits = number.replace(",", "").replace(".", "").strip("0")
    value = int(digits or "0")
    return len(digits) > 1 and value & (value - 1) != 0 and not (value < 100 and (value % 5 == 0 or value % 12 == 0))


def undeclared(pages: Mapping[str, str], quoted: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The figures that several of these pages give, with the pages; but for those of which each page but one, or each but the source,
    quotes it in a place of ``quoted``."""
    given: dict[str, set[str]] = {}
    for name, text in pages.items():
        for number, unit in FOUND.findall(re.sub(r"`[^`]*`", "", text)):
            if is_measured(number):
                given.setdefault(f"{number} {unit}", set()).add(name)
    places: dict[str, set[str]] = {}
    for page, place in quoted:
        places.setdefault(page, set()).update(re.findall(place, pages.get(page, "")))
    free = {figure: {one for one in found if figure.split()[0] not in places.get(one, ())} for figure, found in given.items()}
    return {figure: sorted(given[figure]) for figure, found in free.items() if len(given[figure]) > 1 and found not in (set(), {SOURCE})}


def test_a_measured_figure_that_two_pages_give_is_held_to_its_source():
    """A figure without a row there, or of another thing, is written down as such. Pages of ``docs/internals`` are notes of single
    measurements, each with its day and its machine."""
    skipped = HISTORY | GENERATED
    pages = {name: prose(page) for page, name in zip(PAGES, NAMES, strict=True) if name not in skipped and "/internals/" not in name}
    pages = {name: re.sub(r"(?<!\|)\n", " ", text) for name, text in pages.items()}
    found = undeclared(pages, [(page, place) for page, place, *_ in QUOTED])
    advice = "give it in one page, or quote it from docs/performance.md by a row of QUOTED; or list it in COINCIDENCES"
    assert {figure: names for figure, names in found.items() if figure not in COINCIDENCES} == {}, advice
    assert set(COINCIDENCES) <= set(found), "list a coincidence only while there is one"


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ("It takes 4.44 ms.", ["4.44 ms"]),
        ("A worker takes 103\u00a0MiB, with its log.", ["103 MiB"]),
        ("As measured, 4.44 ms here.", []),
        ("It takes 4.4 ms or `4.44 ms`, 4.44 times; 30 s, 64 KiB, 1.5 s, 24 hours, 1,000 bytes at most.", []),
    ],
)
def test_a_new_figure_that_two_pages_give_is_found(other, found):
    source = "It takes 4.44 ms and 103 MiB; 30 s, 64 KiB, 1.5 s, 24 hours, 1,000 bytes at most."
    assert list(undeclared({SOURCE: source, "other.md": other}, [("other.md", r"measured, (\S+) ms")])) == found


def test_the_sizing_is_that_of_the_benchmark():
    measured, sizing = figures("docs/performance.md", 0), figures("docs/sizing.md", 2)
    assert len(sizing) == 9
    for name, figure in sizing.items():
        assert figure / 2 <= measured[name] <= figure * 2, f"{name}: {measured[name]}; docs/sizing.md has {figure}"
