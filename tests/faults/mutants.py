"""Which faults there are: those of ``planted.toml``, written by hand, and small changes of single expressions, made here.

A generated fault is found again by what it changes and not by a line's number, so that it outlives changes elsewhere in its file. Which of
them a run takes is decided by a hash of the seed and its id, for the same reason: a change of the code leaves the others chosen.
"""

import ast
import hashlib
import re
import subprocess
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).with_name("planted.toml")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
GENERATED = ("fastlane/client/contract.py", "fastlane/client/synchronous/", "static/src/contract.ts")
"""Written by a program whose own source is changed instead."""


@dataclass(frozen=True)
class Fault:
    """A change of one file: the text between two offsets (of bytes) becomes ``new``. ``place``: the function it is in. ``test``: one that
    is known to find it."""

    id: str
    file: str
    start: int
    end: int
    new: str
    place: str
    meaning: str
    test: str = ""

    def text(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.new.encode() + source[self.end :]


@dataclass(frozen=True)
class Gone:
    """A fault of ``planted.toml`` whose text its file no longer has, or has more than once."""

    id: str
    file: str
    times: int


# ---- by hand


def planted(file_of_faults: Path = PLANTED) -> Iterator[Fault | Gone]:
    """The faults of a file such as ``planted.toml``."""
    for row in tomllib.loads(file_of_faults.read_text("utf-8"))["fault"]:
        file = ROOT / row["file"]
        source = file.read_bytes() if file.exists() else b""
        old = row["old"].encode()
        if source.count(old) != 1:
            yield Gone(row["id"], row["file"], source.count(old))
            continue
        start = source.index(old)
        place = place_at(row["file"], source, start)
        yield Fault(row["id"], row["file"], start, start + len(old), row["new"], place, row["meaning"], row.get("test", ""))


def equivalent() -> dict[str, str]:
    """Faults that change nothing that a test could see, and why, by id."""
    return dict(tomllib.loads(EQUIVALENT.read_text("utf-8")))


def place_at(file: str, source: bytes, offset: int) -> str:
    """The qualified name of the function at an offset of a Python file; "" outside of all."""
    if not file.endswith(".py"):
        return ""
    line = source[:offset].count(b"\n") + 1
    within = [name for name, first, last in _spans(source) if first <= line <= last]
    return within[-1] if within else ""


@lru_cache(maxsize=256)
def _spans(source: bytes) -> list[tuple[str, int, int]]:
    """The functions of a file, each with its first and last line."""
    return [(name, node.lineno, node.end_lineno or 0) for name, node in functions(ast.parse(source))]


def functions(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions with their qualified names, the outer before the inner."""
    for node in ast.iter_child_nodes(tree):
        name = f"{outer}{node.name}" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, node
        yield from functions(node, f"{name}." if name else outer)


# ---- generated: which


def sources() -> list[str]:
    """The files in which faults are made."""
    listed = subprocess.run(["git", "ls-files", "fastlane", "static/src"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [name for name in listed.split() if name.endswith((".py", ".lua", ".ts")) and not name.startswith(GENERATED)]


def folder_of(file: str) -> str:
    """Under what a file's faults are counted: its folder below fastlane, its database for the stores, the pages, the queue's scripts."""
    parts = file.split("/")
    if file.endswith(".lua"):
        return "queue scripts"
    if parts[0] == "static":
        return "pages"
    if parts[1] == "storage" and len(parts) > 3:
        return f"storage/{parts[2]}"
    return parts[1] if len(parts) > 2 else "fastlane itself"


def chosen(number: int, seed: str) -> list[Fault]:
    """So many generated faults: each folder has its share by lines."""
    lines: Counter[str] = Counter()
    files: defaultdict[str, list[str]] = defaultdict(list)
    for file in sources():
        lines[folder_of(file)] += len((ROOT / file).read_bytes().splitlines())
        files[folder_of(file)].append(file)
    faults: list[Fault] = []
    for folder, count in lines.items():
        share = round(number * count / lines.total())
        found = [fault for file in files[folder] for fault in generated(file)]
        faults += islice(filter(parses, sorted(found, key=lambda fault: lot(seed, fault.id))), share)
    return faults


def lot(seed: str, id: str) -> bytes:
    """Orders ids by chance; the same for a seed."""
    return hashlib.sha256(f"{seed} {id}".encode()).digest()


def generated(file: str) -> list[Fault]:
    """All faults that can be made in a file."""
    source = (ROOT / file).read_bytes()
    changes = _python(source) if file.endswith(".py") else _text(source, "lua" if file.endswith(".lua") else "ts")
    seen: Counter[tuple[str, str, str]] = Counter()
    faults = []
    for start, end, new, place in changes:
        line_start, line_end = source.rfind(b"\n", 0, start) + 1, source.find(b"\n", end)
        before = source[line_start:line_end].decode()
        after = (source[line_start:start] + new.encode() + source[end:line_end]).decode()
        meaning = f"{' '.join(before.split())}  →  {' '.join(after.split())}"
        seen[place, before, after] += 1
        key = f"{place} {meaning} {seen[place, before, after]}"
        id = f"{file}:{place or 'module'}:{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        faults.append(Fault(id, file, start, end, new, place, meaning))
    return faults


# ---- generated: Python

Change = tuple[int, int, str, str]
"""Two offsets, the new text between them, and the function that they are in."""

COMPARISONS: dict[type[ast.cmpop], tuple[str, Sequence[str]]] = {
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+")}
SILENT = ("log", "self._log", "logger")
"""What only writes log lines is left alone: few tests should read them."""


class _Changes(ast.NodeVisitor):
    """Collects the changes of a module."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._names: list[str] = []
        self._function = ""
        self.changes: list[Change] = []

    def _at(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.lineno - 1] + node.col_offset, self._lines[node.end_lineno - 1] + node.end_col_offset

    def _code(self, node: ast.expr) -> str:
        start, end = self._at(node)
        return self._source[start:end].decode()

    def _add(self, start: int, end: int, new: str) -> None:
        self.changes.append((start, end, new, self._function))

    def _replace(self, node: ast.expr | ast.stmt, new: str) -> None:
        self._add(*self._at(node), new)

    def _operator(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        start, end = self._at(left)[1], self._at(right)[0]
        at = self._source.find(old.encode(), start, end)
        if at >= 0:
            self._add(at, at + len(old), new)

    # names, and what is left alone

    def _named(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        outer = self._function
        self._names.append(node.name)
        if not isinstance(node, ast.ClassDef):
            self._function = ".".join(self._names)
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self._names.pop()
        self._function = outer

    visit_FunctionDef = visit_AsyncFunctionDef = _named

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A protocol has no code."""
        if not any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            self._named(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Annotations do nothing."""
        if node.value is not None:
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """What cannot happen."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts for people."""

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """``Sequence[int]`` has no numbers, and ``x[0]`` has."""
        self.generic_visit(node)

    # what changes

    def visit_Compare(self, node: ast.Compare) -> None:
        """The boundary, and the opposite."""
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            old, others = COMPARISONS[type(operator)]
            for new in others:
                self._operator(left, right, old, new)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """The other connective, and each part left out."""
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._operator(left, right, old, new)
        if len(node.values) == 2:
            for value in node.values:
                self._replace(node, f"({self._code(value)})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Without the ``not``."""
        if isinstance(node.op, ast.Not):
            self._replace(node, f"bool({self._code(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Another operator."""
        if type(node.op) in ARITHMETIC and not any(isinstance(part, ast.JoinedStr) for part in (node.left, node.right)):
            self._operator(node.left, node.right, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """The other truth value; a number one more, or ten times as large."""
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1))
        if isinstance(node.value, int | float) and not isinstance(node.value, bool) and node.value > 1:
            self._replace(node, str(node.value * 10))

    def _branches(self, node: ast.If | ast.IfExp | ast.While) -> None:
        if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            self._replace(node.test, f"(not ({self._code(node.test)}))")
        self.generic_visit(node)

    visit_If = visit_IfExp = visit_While = _branches

    def visit_Expr(self, node: ast.Expr) -> None:
        """Without the call."""
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(call, ast.Call):
            if ast.unparse(call.func).rpartition(".")[0] in SILENT:
                return
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Nothing is returned."""
        if node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                self._replace(node.value, "None")
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        """Without one of the named arguments."""
        if ast.unparse(node.func).rpartition(".")[0] in SILENT:
            return
        for keyword in node.keywords:
            start, end = self._at(keyword)
            rest = re.match(rb"\s*,?\s*", self._source[end:])
            if keyword.arg is not None and rest is not None:
                self._add(start, end + rest.end(), "")
        self.generic_visit(node)


def _python(source: bytes) -> Iterable[Change]:
    visitor = _Changes(source)
    visitor.visit(ast.parse(source))
    return visitor.changes


def parses(fault: Fault) -> bool:
    """Whether the file can still be read: an argument that is left out may be needed."""
    if not fault.file.endswith(".py"):
        return True
    try:
        ast.parse(fault.text((ROOT / fault.file).read_bytes()))
    except SyntaxError:
        return False
    return True


# ---- generated: Lua and TypeScript, by their text

PATTERNS = {
    "lua": (
        (r" == ", " ~= "),
        (r" ~= ", " == "),
        (r" < ", " <= "),
        (r" > ", " >= "),
        (r" <= ", " < "),
        (r" >= ", " > "),
        (r" and ", " or "),
        (r" or ", " and "),
        (r" not ", " "),
        (r"(?<= )true\b", "false"),
        (r"(?<= )false\b", "true"),
        (r" \+ ", " - "),
        (r" - ", " + "),
        (r"(?m)^( *)redis\.call\([^\n]*\)$", r"\1do end"),
        (r"\b1000\b", "10000"),
        (r"(?m)^( *)return [^\n]+$", r"\1do return nil end"),
    ),
    "ts": (
        (r" === ", " !== "),
        (r" !== ", " === "),
        (r" < ", " <= "),
        (r" > ", " >= "),
        (r" <= ", " < "),
        (r" >= ", " > "),
        (r" && ", " || "),
        (r" \|\| ", " && "),
        (r" \?\? ", " && "),
        (r"\(!(?=[a-z])", "("),
        (r"\btrue\b", "false"),
        (r"\bfalse\b", "true"),
        (r" \+ (?=\d)", " - "),
        (r" - (?=\d)", " + "),
        (r"\b(\d+)(?=[_\d]*\b)", r"1\1"),
        (r"(?m)^( +)[a-z][\w.]*\([^\n{]*\);?$", r"\1;"),
    ),
}
COMMENTS = {"lua": r"--", "ts": r"//|/?\*"}


def _text(source: bytes, language: str) -> Iterable[Change]:
    text = source.decode()
    for pattern, new in PATTERNS[language]:
        for found in re.finditer(pattern, text):
            line = text[text.rfind("\n", 0, found.start() + 1) + 1 : found.start()]
            if re.search(COMMENTS[language], line) or line.lstrip().startswith(("import", "type", "interface")):
                continue
            start, end = len(text[: found.start()].encode()), len(text[: found.end()].encode())
            yield start, end, found.expand(new), ""
