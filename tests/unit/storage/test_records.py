import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, strategies as st

from fastlane.models.access import Requester
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, ConfigFile, Container, Mount, MountKind, Resources, Secret, Ulimit
from fastlane.models.cron import Cron
from fastlane.models.job import Execution, Failure, Job, Spec
from fastlane.models.log import Mark, Piece
from fastlane.models.retention import NO_RETENTION, Retention
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import NO_RULES, CatchUp, EntryRules, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.storage import values
from fastlane.storage.records import EXECUTIONS, JOBS, TICKS
from tests.support.factories import SPEC, new

SCALARS = (str, int, bool, type(None))

texts = st.text(st.characters(codec="utf-8"))
pieces = st.builds(Piece, st.integers(0, 255), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=50))
some_texts = st.lists(texts, max_size=3).map(tuple)
counts = st.none() | st.integers(0, 2**62)
resources = st.builds(
    Resources,
    cpus=st.none() | st.floats(0.001, 1e6),
    memory=counts,
    pids=counts,
    reserve_cpus=st.none() | st.floats(0, 1e6),
    reserve_memory=counts,
    reserve_generic=st.dictionaries(texts, st.integers(1, 2**20), max_size=2),
)
containers = st.builds(
    Container,
    user=st.none() | texts,
    workdir=st.none() | texts,
    init=st.none() | st.booleans(),
    stop_signal=st.none() | texts,
    stop_grace=counts,
    mounts=st.lists(st.builds(Mount, st.sampled_from(MountKind), texts, st.none() | texts, st.booleans(), counts), max_size=3).map(tuple),
    networks=some_texts,
    secrets=st.lists(st.builds(Secret, texts, texts), max_size=3).map(tuple),
    constraints=some_texts,
    extra_hosts=st.dictionaries(texts, texts, max_size=3),
    entrypoint=some_texts,
    hostname=st.none() | texts,
    read_only=st.none() | st.booleans(),
    dns=some_texts,
    cap_add=some_texts,
    cap_drop=some_texts,
    sysctls=st.dictionaries(texts, texts, max_size=3),
    ulimits=st.dictionaries(texts, st.builds(Ulimit, st.integers(-1, 2**63 - 1), st.integers(-1, 2**63 - 1)), max_size=3),
    configs=st.lists(st.builds(ConfigFile, texts, texts, *[st.integers(0, 2**32)] * 3), max_size=3).map(tuple),
)
specs = st.builds(
    Spec,
    texts,
    st.none() | st.lists(texts).map(tuple),
    st.dictionaries(texts, texts),
    st.dictionaries(texts, st.recursive(st.none() | st.booleans() | texts | st.integers(-(2**63), 2**63), st.lists)),
    resources=resources,
    container=containers,
    name=st.none() | texts,
    labels=st.dictionaries(texts, texts, max_size=3),
    retention=st.builds(Retention, counts, counts, counts, counts),
)


@given(specs)
def test_a_spec_is_json_and_comes_back(spec):
    text = values.spec_to_json(spec)
    json.loads(text)
    assert values.spec_from_json(text) == spec


def test_a_spec_with_what_json_cannot_say_is_an_error():
    with pytest.raises(TypeError):
        values.spec_to_json(replace(SPEC, metadata={"x": object()}))


RULE_NAMES = ("retries", "retry_delay", "timeout", "expires_in", "expiration", "priority", "concurrency", "expect_every")
RULES = [{name: value} for name, value in zip(RULE_NAMES, (3, 0, 1, 2, 3, -100, 1_000, 5), strict=True)]


@pytest.mark.parametrize("rule", [*RULES, {name: value for rule in RULES for name, value in rule.items()}])
def test_each_rule_of_a_spec_comes_back_and_takes_no_room_when_it_is_not_given(rule):
    spec = replace(SPEC, **rule)
    stored = json.loads(values.spec_to_json(spec))
    assert {name: stored[name] for name in RULE_NAMES if name in stored} == rule
    assert values.spec_from_json(values.spec_to_json(spec)) == spec


CONTAINER_PARTS = {
    "user": "1000:1000",
    "workdir": "/srv",
    "init": False,
    "stop_signal": "SIGINT",
    "stop_grace": 0,
    "mounts": (Mount(MountKind.VOLUME, "/data", "data", read_only=True), Mount(MountKind.TMPFS, "/tmp", size=0)),
    "networks": ("backend",),
    "secrets": (Secret("db", "db.txt"),),
    "constraints": ("node.role==worker",),
    "extra_hosts": {"db": "10.0.0.7"},
    "entrypoint": ("tini", "--"),
    "hostname": "worker",
    "read_only": True,
    "dns": ("10.0.0.53",),
    "cap_add": ("NET_ADMIN",),
    "cap_drop": ("ALL",),
    "sysctls": {"net.core.somaxconn": "1024"},
    "ulimits": {"nofile": Ulimit(1024, -1)},
    "configs": (ConfigFile("shop-conf", "/etc/shop.conf", 1000, 0, 0o440), ConfigFile("x", "/x")),
}


@pytest.mark.parametrize(("name", "value"), CONTAINER_PARTS.items())
def test_each_option_of_a_container_comes_back_and_takes_no_room_when_it_is_not_given(name, value):
    spec = replace(SPEC, container=Container(**{name: value}))
    text = values.spec_to_json(spec)
    assert list(json.loads(text)["container"]) == [name]
    assert values.spec_from_json(text) == spec


@pytest.mark.parametrize(
    ("name", "value"),
    [("cpus", 0.5), ("memory", 2**40), ("pids", 1), ("reserve_cpus", 0.0), ("reserve_memory", 0), ("reserve_generic", {"gpu": 1})],
)
def test_each_limit_comes_back_and_takes_no_room_when_it_is_not_given(name, value):
    spec = replace(SPEC, resources=Resources(**{name: value}))
    text = values.spec_to_json(spec)
    assert json.loads(text)["resources"] == {name: value}
    assert values.spec_from_json(text) == spec


def test_what_asks_for_nothing_stores_nothing_of_it():
    assert not {"resources", "container", "retention"} & json.loads(values.spec_to_json(SPEC)).keys()
    assert CONTAINER_PARTS.keys() == {field.name for field in fields(Container)}


def test_a_long_spec_is_read_and_not_remembered():
    spec = replace(SPEC, container=Container(constraints=tuple(f"node.labels.x!={number:0200}" for number in range(50))))
    text = values.spec_to_json(spec)
    assert len(text) > values.MAX_REMEMBERED
    assert values.spec_from_json(text) == spec
    assert values.spec_from_json(text) is not values.spec_from_json(text)


def test_a_spec_that_was_stored_before_there_were_rules_has_none():
    spec = values.spec_from_json('{"image":"a","command":null,"envs":{},"metadata":{}}')
    assert spec == Spec("a")
    assert (spec.resources, spec.container, spec.retention) == (NO_RESOURCES, NO_CONTAINER, NO_RETENTION)


CRONS = [
    Schedule(ScheduleKind.CRON, None, cron, overlap, catch_up)
    for overlap in Overlap
    for catch_up in CatchUp
    for cron in (Cron("0 8 * * *", "Europe/Berlin"), Cron("0 8 * * *", "Europe/Berlin", (Cron("@daily"), Cron("@weekly", "Asia/Tokyo"))))
]


RULED = [
    Schedule(ScheduleKind.CRON, None, cron, rules=(EntryRules(overlap, catch_up), *(NO_RULES for _ in cron.also)))
    for overlap, catch_up in ((Overlap.SKIP, None), (None, CatchUp.NONE), (Overlap.ALLOW, CatchUp.LATEST))
    for cron in (Cron("@daily"), Cron("@daily", "UTC", (Cron("@weekly"),)))
]
ZONED = [replace(schedule, timezone="America/Lima") for schedule in (*CRONS[-2:], RULED[0])]
MANUAL = [Schedule(ScheduleKind.MANUAL, overlap=overlap) for overlap in Overlap]


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(ScheduleKind.AT, 5), *MANUAL, *RULED, *CRONS, *ZONED])
def test_a_schedule_comes_back(schedule):
    assert values.schedule_from_json(values.schedule_to_json(schedule)) == schedule


@pytest.mark.parametrize("failure", [None, *(Failure(reason, "it said: \x00 ü") for reason in FailureReason)])
def test_a_failure_comes_back(failure):
    assert values.failure_from_json(values.failure_to_json(failure)) == failure


@pytest.mark.parametrize("requester", [None, Requester(None, None), Requester("größe \x7f", "2001:db8::1")])
def test_a_requester_comes_back(requester):
    assert values.requester_from_json(values.requester_to_json(requester)) == requester


@pytest.mark.parametrize("marks", [{}, {1: Mark(1_700_000_000_123_456_789, 3)}, {1: Mark(5, 1), 2: Mark(6, 2, latest=9)}])
def test_marks_come_back_to_the_nanosecond(marks):
    assert values.marks_from_json(values.marks_to_json(marks)) == marks


@given(st.lists(pieces).map(tuple))
def test_pieces_come_back_from_their_index_and_bytes(some):
    index, data = values.pack_pieces(some)
    assert data == b"".join(piece.data for piece in some)
    assert values.unpack_pieces(index, data) == some


def test_a_value_is_stored_as_scalars_under_its_fields_names_and_comes_back():
    job, tick, execution = new()
    execution = replace(execution, failure=Failure(FailureReason.OOM, "m"), truncated=True, status=Status.FAILED)
    job = replace(job, schedule=Schedule(ScheduleKind.AT, 5))
    tick = replace(tick, outcome=Outcome.MISSED, until=9, count=1_500, at_least=True)
    for value, to, back, more in (
        (job, JOBS.row, JOBS.read, ["labels"]),
        (tick, TICKS.row, TICKS.read, []),
        (execution, EXECUTIONS.row, EXECUTIONS.read, []),
    ):
        stored = to(value)
        assert list(stored) == [*(field.name for field in fields(value)), *more]
        assert all(type(part) in SCALARS for part in stored.values())
        assert back({**stored, "more": 1}) == value


def test_numbers_for_truths_come_back_as_truths():
    stored = EXECUTIONS.row(new()[2])
    back = EXECUTIONS.read({**stored, "settled": 1, "cleaned": 0, "truncated": 1})
    assert (back.settled, back.cleaned, back.truncated) == (True, False, True)
    tick = TICKS.row(new()[1])
    assert [TICKS.read({**tick, "at_least": number}).at_least for number in (0, 1)] == [False, True]


def test_a_changes_values_are_stored_like_the_executions_and_no_other_names_are():
    failure = Failure(FailureReason.EXIT, "m")
    stored = EXECUTIONS.changes({"status": Status.DONE, "failure": failure, "settled": True})
    assert stored == {"status": "done", "failure": values.failure_to_json(failure), "settled": True}
    with pytest.raises(ValueError, match="an execution has no colour, shape"):
        EXECUTIONS.changes({"shape": 1, "colour": 2, "host": "h"})


def test_every_field_other_than_a_scalar_has_its_conversion():
    assert set(EXECUTIONS.fields) == {field.name for field in fields(Execution)}
    assert set(JOBS.fields) == {field.name for field in fields(Job)}
