"""``python -m tests.specification``: explores all models whole, tries the mutants, and writes what that came to into the page."""

import argparse
import sys
from pathlib import Path

from tests.specification.checker import MODELS, ROOT, Exploration, Model, Mutant, explore, mutants

PAGE = ROOT / "docs" / "internals" / "specification.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
EXPLORED = ("| model | bounds | states | depth | seconds of a processor | broken |", "| --- | --- | --- | --- | --- | --- |")
FOUND = ("| fault in the model | what no longer holds | steps | states seen |", "| --- | --- | --- | --- |")


def row_of(model: Model, found: Exploration) -> str:
    """A model's row of the table."""
    bounds = ", ".join(f"{name} = {value}" for name, value in model.whole.items())
    return f"| {model.name} | `{bounds}` | {found.states:,} | {found.depth} | {found.seconds:.0f} | {found.broken or 'nothing'} |"


def row_of_mutant(mutant: Mutant, found: Exploration) -> str:
    """A mutant's row of the table."""
    broken = f"`{found.broken}`" if found.broken else "**not found**"
    return f"| {mutant.meaning} | {broken} | {len(found.steps)} | {found.states:,} |"


def write(page: Path, lines: list[str]) -> None:
    """Puts the tables between the page's marks."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]), "utf-8")


def main() -> int:
    """Returns 1 when something does not hold, or a mutant was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.specification", description=(__doc__ or "").strip())
    parser.add_argument("--small", action="store_true", help="some seconds; writes nothing")
    small = parser.parse_args().small
    lines, wrong = [*EXPLORED], 0
    for model in MODELS:
        found = explore(model, small=small)
        lines.append(row_of(model, found))
        wrong += found.broken is not None
        sys.stdout.write(f"{lines[-1]}\n")
        sys.stdout.flush()
        if found.broken:
            sys.stdout.write(f"{found.output}\n")
    lines += ["", *FOUND]
    for mutant in mutants():
        found = explore(mutant.model, mutant=mutant)
        lines.append(row_of_mutant(mutant, found))
        wrong += found.broken != mutant.breaks
        sys.stdout.write(f"{lines[-1]}\n")
        sys.stdout.flush()
    if not small:
        write(PAGE, lines)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
