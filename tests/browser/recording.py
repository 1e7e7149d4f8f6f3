"""A terminal session as a moving picture: what was typed and written, when it was, as an SVG that moves by its own style sheet."""

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

Event = tuple[float, str]
PROMPT = "$ "
KEY, PAUSE, END = 0.045, 1.0, 5.0
"""Seconds for a key that is typed, before the next command, and after the last one."""
WIDTH, LINE = 830, 20
COLUMNS = 93
"""The letters of a line that fit into the width."""
APART = 0.06
"""Seconds within which what is written appears at once."""
STYLE = """svg{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
text{white-space:pre;fill:#dfe3ea}.k{fill:#8ab4ff}rect{fill:#161a21;stroke:#2b313c}circle{fill:#6b7484}
@media (prefers-reduced-motion:reduce){tspan{animation:none!important}}"""


def record(commands: Sequence[str], environment: Mapping[str, str], *, folder: Path = Path(), within: float = 60.0) -> list[Event]:
    """Types the commands into a shell in a folder, each once the one before has ended. Returns what appeared, with the seconds since the
    start."""
    began, events = time.monotonic(), list[Event]()
    with _shell(environment, folder) as terminal:
        for command in [None, *commands]:
            for key in command or "":
                os.write(terminal, key.encode())
                time.sleep(KEY)
                events += _read(terminal, began, until="", within=0.0)
            if command is not None:
                os.write(terminal, b"\n")
            events += _read(terminal, began, until=PROMPT, within=within)
            time.sleep(PAUSE)
    return events


@contextmanager
def _shell(environment: Mapping[str, str], folder: Path) -> Iterator[int]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (50, COLUMNS))  # programs fit their tables into it; what is typed must be shorter
    around = {**os.environ, **environment, "TERM": "dumb", "PS1": PROMPT}
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=around, cwd=folder, start_new_session=True
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        os.close(ours)
        shell.kill()
        shell.wait()


def _read(terminal: int, began: float, *, until: str, within: float) -> list[Event]:
    """What comes until the output ends with ``until``; what is there now, without that."""
    events, text, give_up = list[Event](), "", time.monotonic() + within
    while not (until and text.endswith(until)):
        ready, _, _ = select.select([terminal], [], [], max(0.0, give_up - time.monotonic()))
        if not ready:
            if until:
                raise TimeoutError(f"the command did not end: {text!r}")
            break
        got = os.read(terminal, 4096).decode("utf-8", "replace").replace("\r", "")
        text += got
        events.append((time.monotonic() - began, got))
    return events


def drawing(events: Sequence[Event], typed: Sequence[str]) -> str:
    """The SVG. ``typed``: the commands, which get a colour of their own."""
    events = _folded(events)
    merged = _merged(events)
    last = merged[-1][0] + END
    rows, styles = [list[str]()], list[str]()
    for number, (at, text) in enumerate(merged):
        styles.append(f"@keyframes t{number}{{0%{{opacity:0}}{100 * at / last:.2f}%{{opacity:1}}}}")
        for row, part in enumerate(text.split("\n")):
            if row:
                rows.append([])
            if part:
                rows[-1].append(f'<tspan style="animation:t{number} {last:.1f}s step-end infinite">{escape(part)}</tspan>')
    shown = _screen(events)
    height = len(rows) * LINE + 62
    lines = [
        f'<text x="20" y="{56 + number * LINE}"{_look(shown[number], typed)}>{"".join(row)}</text>'
        for number, row in enumerate(rows)
        if row
    ]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" width="{WIDTH}" height="{height}" role="img">',
            f"<title>A terminal: {escape('; '.join(typed))}</title>",
            f"<style>{STYLE}\n{''.join(styles)}</style>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
            *(f'<circle cx="{22 + 20 * number}" cy="22" r="6"/>' for number in range(3)),
            *lines,
            "</svg>\n",
        )
    )


def _folded(events: Sequence[Event]) -> list[Event]:
    """The same with lines of at most ``COLUMNS`` characters, as a terminal of that width breaks them."""
    column, folded = 0, list[Event]()
    for at, text in events:
        made = ""
        for letter in text:
            if column == COLUMNS and letter != "\n":
                made, column = f"{made}\n", 0
            made += letter
            column = 0 if letter == "\n" else column + 1
        folded.append((at, made))
    return folded


def _look(line: str, typed: Sequence[str]) -> str:
    return ' class="k"' if line.startswith(PROMPT) and line.removeprefix(PROMPT) in typed else ""


def _screen(events: Sequence[Event]) -> list[str]:
    return "".join(text for _, text in events).split("\n")


def _merged(events: Sequence[Event]) -> list[Event]:
    merged = [events[0]]
    for at, text in events[1:]:
        before, earlier = merged[-1]
        if at - before < APART and "\n" not in earlier:
            merged[-1] = (before, earlier + text)
        else:
            merged.append((at, text))
    return merged
