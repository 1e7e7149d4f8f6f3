"""Every example of docs/python.md, run as it stands."""

import asyncio
import sys

import pytest

from tests.support.docs import ROOT, blocks

PAGE = ROOT / "docs/python.md"
EXAMPLES = blocks(PAGE.read_text("utf-8"), "python")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_an_example_runs_as_it_stands(crewed, crewed_line, number):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", EXAMPLES[number], cwd=crewed_line.folder, env=crewed_line.environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, said) == (0, b"")
