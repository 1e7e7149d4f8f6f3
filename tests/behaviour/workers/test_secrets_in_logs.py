"""What a worker logs of an engine's words: no secret of the job that they quote, by the same rules as in answers."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from fastlane import log
from fastlane.errors import HostDown, RegistryDown
from fastlane.redaction import redaction_of
from tests.support.fastlane import Fastlane

SECRET = 'hunter2 "quoted"'
ENVS = {"DB_PASS": SECRET, "URL": "db://me:letmein@db", "AUTHOR": "anna smith"}
WORDS = r'bad variables DB_PASS="hunter2 \"quoted\"", db://me:letmein@db, letmein, by anna smith'
LOGGED = 'bad variables DB_PASS="********", db://me:********@db, ********, by anna smith'


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The log lines, redacted as the program's are."""
    found: list[dict[str, Any]] = []

    def note(_logger: object, _method: str, event: Any) -> Any:
        found.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[log.Redactor(redaction_of(("_pass_",)).message), note], cache_logger_on_first_use=False)
    yield found
    structlog.configure(**before)


@pytest.mark.parametrize("refusal", [RegistryDown, HostDown])
async def test_words_that_quote_a_secret_are_logged_without_it(shared_redis, tmp_path, lines, refusal):
    async with Fastlane(tmp_path, shared_redis.url, workers=1) as server:
        server.executor.refusals = [refusal(WORDS)]
        reply = await server.enqueue("task", envs=ENVS)

        async def done() -> bool:
            return (await server.execution(reply)).status.value == "done"

        await server.until(done, "the job to run after the refusal")
    said = [line for line in lines if "bad variables" in str(line)]
    assert [line["error"] for line in said] == [LOGGED]
    assert SECRET not in str(lines)
