"""Lines such as ``::set-output rows=42``: what stands on the execution afterwards, in answers and in webhooks."""

from typing import Any

import pytest

from fastlane.models.log_commands import MAX_OUTPUTS, Outputs
from fastlane.models.status import Status
from tests.support.fastlane import Fastlane
from tests.support.receiver import Receiver, receiving
from tests.support.redis import RealRedis


async def ended(crew: Fastlane, *words: str, **fields: Any) -> dict[str, Any]:
    """The execution of a job with this command, as the API shows it once it has ended."""
    reply = await crew.enqueue(command=list(words), **fields)

    async def final() -> dict[str, Any] | None:
        answer = await crew.get(reply["executionUrl"])
        shown: dict[str, Any] = answer.json["execution"]
        return shown if Status(shown["status"]).final else None

    shown = await crew.until(final, "its end")
    assert shown is not None
    return shown


async def test_outputs_stand_on_the_execution_once_it_has_ended(crew: Fastlane) -> None:
    await crew.hire()
    log = ("out", "begins\n::set-output rows=4", "err", "::set-output name=tag::v1\n", "out", "2\n::set-output last=one")
    shown = await ended(crew, *log, "exit", "3")
    assert shown["outputs"] == {"tag": "v1", "rows": "42", "last": "one"}
    assert "droppedOutputs" not in shown
    row = await crew.store.execution(shown["executionId"])
    assert row is not None
    assert row.outputs == Outputs(shown["outputs"])
    (listed,) = (await crew.get("/executions?task=task")).json["items"]
    assert listed["outputs"] == shown["outputs"]


async def test_what_has_no_room_is_named(crew: Fastlane) -> None:
    await crew.hire()
    shown = await ended(crew, "out", f"::set-output a={'x' * MAX_OUTPUTS}\n::set-output b=1\n")
    assert (shown["outputs"], shown["droppedOutputs"]) == ({"b": "1"}, ["a"])


async def test_the_first_error_is_in_the_message_of_the_failure(crew: Fastlane) -> None:
    await crew.hire()
    shown = await ended(crew, "err", "::error file=a.py::no such\ttable\n::error::two\n", "exit", "3")
    assert shown["failure"] == {"reason": "exit", "message": "the command ended with exit code 3: no such table"}
    assert (await ended(crew, "err", "::error::in vain\n"))["failure"] is None


async def test_a_job_without_annotations_has_plain_lines(crew: Fastlane) -> None:
    await crew.hire()
    words = ("out", "::set-output rows=42\n::error::broken\n", "exit", "3")
    shown = await ended(crew, *words, annotations=False)
    assert shown["outputs"] == {}
    assert shown["failure"]["message"] == "the command ended with exit code 3"
    (job,) = (await crew.get("/tasks/task/jobs")).json["items"]
    answer = (await crew.get(job["url"])).json["job"]
    assert (answer["definition"]["annotations"], answer["spec"]["annotations"]) == (False, False)


async def test_secrets_are_not_shown_in_outputs_nor_in_the_message(shared_redis: RealRedis, tmp_path: Any) -> None:
    async with Fastlane(tmp_path, shared_redis.url, redact_words=("password",)) as crew:
        await crew.hire()
        log = "::set-output url=http://me:pw12345@x/\n::set-output a=1%0A\n::set-output said=it is hunter22!\n::set-output my_password=x\n"
        shown = await ended(crew, "out", f"{log}::error::bad hunter22\n", "exit", "1", envs={"DB_PASSWORD": "hunter22"})
        hidden = "********"
        assert shown["outputs"] == {"url": f"http://me:{hidden}@x/", "a": "1\n", "said": f"it is {hidden}!", "my_password": hidden}
        assert shown["failure"]["message"] == f"the command ended with exit code 1: bad {hidden}"


async def test_webhooks_have_the_outputs(shared_redis: RealRedis, tmp_path: Any) -> None:
    async with receiving() as receiver, Fastlane(tmp_path, shared_redis.url, webhook_allow=("127.0.0.1",)) as crew:
        await crew.hire()
        bodies = await told(crew, receiver)
    assert bodies["/hook/plain"]["outputs"] == {"rows": "42", "tag": "v1"}
    assert bodies["/hook/template"] == {"text": "42 rows of v1"}


async def told(crew: Fastlane, receiver: Receiver) -> dict[str, Any]:
    """What a webhook and one with a template get of an execution with two outputs, by their paths."""
    template = {"url": f"{receiver.url}/template", "body": {"text": "{{outputs.rows}} rows of {{outputs.tag}}"}}
    hooks = {"finishes": [{"url": f"{receiver.url}/plain"}, template]}
    await ended(crew, "out", "::set-output rows=42\n::set-output tag=v1\n", webhooks=hooks)
    return {one.path: one.json for one in await receiver.got(2)}


@pytest.mark.parametrize("value", ["yes", 1])
async def test_annotations_are_true_or_false(crew: Fastlane, value: object) -> None:
    answer = await crew.post("/tasks/task", {"image": "ubuntu", "annotations": value})
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, ["annotations"])
