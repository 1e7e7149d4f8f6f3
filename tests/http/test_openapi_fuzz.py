"""schemathesis over the OpenAPI document, at a server with a real store, a real queue and workers.

``FASTLANE_FUZZ_SEED`` is another seed than the usual one, ``FASTLANE_FUZZ_EXAMPLES`` more examples of each operation than the usual ones.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from fastlane.models.container import Resources
from fastlane.models.pool import Pool
from fastlane.web.routes.events import EventFollowing
from tests.support.fastlane import HOST, Fastlane
from tests.support.policies import EVERYTHING

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("FASTLANE_FUZZ_SEED", "1")
EXAMPLES = os.environ.get("FASTLANE_FUZZ_EXAMPLES", "20")
LONGEST = 1_200 * max(1, int(EXAMPLES) // 20)
"""Seconds, on a machine with much else to do; on one with nothing, a fifteenth."""


POOLS = (Pool("strict", "[A-Z]", (HOST,), limits=Resources(cpus=2)), Pool("wide", "", (HOST,), policy=EVERYTHING))
"""One task in a few meets a policy, so that what a body asks for its container is both taken and refused."""


@pytest.mark.thorough
@pytest.mark.timeout(LONGEST + 60)
async def test_whatever_the_document_allows_or_forbids_is_answered_as_it_says(shared_redis, tmp_path, monkeypatch):
    monkeypatch.setattr(EventFollowing, "_may_go_on", lambda _: False)  # a stream of events has no end of its own
    # Takes addresses in a body, and sends no mail.
    mail = {"smtp_host": "127.0.0.1", "smtp_port": 9, "smtp_from": "fastlane@example.org", "notify_allow": ("*",)}
    async with Fastlane(tmp_path, shared_redis.url, workers=2, pools=POOLS, ws_start_wait=0.5, **mail) as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.base}/openapi.json", "--seed", SEED, "-n", EXAMPLES]
        report = tmp_path / "report"
        with report.open("wb") as output:
            process = await asyncio.create_subprocess_exec(*command, "--no-color", cwd=ROOT, stdout=output, stderr=output)
            code = None
            try:
                async with asyncio.timeout(LONGEST):
                    code = await process.wait()
            except TimeoutError:
                pass  # the report says how far it came
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert code == 0, report.read_text()
        assert (await server.get("/healthcheck")).status == 200
