"""The short way through the schema of a job: it says what marshmallow's own ``load`` says, or nothing."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import ValidationError
from marshmallow.decorators import VALIDATES_SCHEMA

from fastlane.web.schemas import JOB, plainly_valid

MOMENT = st.sampled_from([0, 1_645_113_692, 1.5, "1645113692", "2022-02-17T16:01:32Z", "2022-02-17 16:01:32+02:00"])
SPAN = st.sampled_from(["10s", "2m30s", "240h", "1 day", "0s"])
ENVS = st.dictionaries(
    st.sampled_from(["A", "b_1", "PASSWORD", "1A", "A-B", ""]), st.sampled_from(["", "x", 1, 2.5, True, "********", None])
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(["ubuntu:latest", "registry.example.com:5000/team/app:1.2", "app@sha256:" + "0" * 64]),
    "command": st.sampled_from(["true", "sh -c 'echo it'", "a  b\tc", ["ls", ""], ["a b"]]),
    "envs": ENVS,
    "startIn": SPAN,
    "startAt": MOMENT,
    "cron": st.sampled_from(["* * * * *", "@hourly", "*/5 0-12 1,15 jan-mar 0"]),
    "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
    "overlap": st.sampled_from(["allow", "skip"]),
    "catchUp": st.sampled_from(["latest", "none"]),
    "retries": st.integers(0, 20),
    "retryDelay": SPAN,
    "timeout": st.sampled_from([1, 0.5, 60]),
    "expiration": MOMENT,
    "expiresIn": SPAN,
    "priority": st.integers(-100, 100),
    "concurrency": st.integers(1, 1000),
    "metadata": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
}
ODD = st.sampled_from([
    *("", " ", "true", "Ubuntu:latest", "nonsense", "'", "\\", "6 * * * * *", "0 0 31 2 *", "-5m", "x" * 700, "sh\0", "latest"),
    *(True, False, 0, -1, 1, 101, 1e300, 2**63 - 1, 1_645_113_692_000),
    *([], [1], ["a", None], {}, {"a": None}, {"": 1}, {"A": []}, {"a": "x" * 17_000}),
])  # fmt: skip
NAME = st.sampled_from([*GOOD, "Image", "cmd", "env", "", "rules", "load"])


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly valid ones, some with a few faults: what ``read_job`` has once nulls are taken out."""
    names = draw(st.sets(st.sampled_from(sorted(GOOD)), max_size=4)) | draw(st.sampled_from([{"image"}, {"image"}, set()]))
    body = {name: draw(GOOD[name]) for name in draw(st.permutations(sorted(names)))}
    return body | draw(st.just({}) | st.dictionaries(NAME, ODD, max_size=2))


@given(bodies())
@example({"image": "ubuntu:latest", "command": "true"})
@example({"image": "ubuntu:latest", "startIn": "5m", "startAt": 1_645_113_692})
@example({"image": "ubuntu:latest", "timezone": "UTC"})
@example({"command": "true"})
@example({})
def test_the_short_way_takes_what_load_takes_as_load_takes_it_and_nothing_else(body: dict[str, Any]) -> None:
    try:
        expected = JOB.load(body)
    except ValidationError:
        expected = None
    assert plainly_valid(body) == expected


def test_the_short_way_knows_every_rule_of_the_schema() -> None:
    hooks = {name: [hook for hook, *_ in there] for name, there in JOB._hooks.items() if there}
    assert hooks == {VALIDATES_SCHEMA: ["rules"]}
    assert not [name for name, one in JOB.fields.items() if one.data_key or one.attribute or one.validators or one.dump_only]
