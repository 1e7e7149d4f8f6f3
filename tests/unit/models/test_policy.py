"""What the policy and the limits of a pool let a container have, and what is said of the rest."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given, strategies as st

from fastlane.models.container import (
    DEFAULT_POLICY,
    FREE,
    NO_CONTAINER,
    NO_RESOURCES,
    Container,
    Mount,
    MountKind,
    Policy,
    Resources,
    Secret,
    Ulimit,
    limit_faults,
    matches,
    policy_faults,
    read_mount_pattern,
    read_path,
)
from tests.support.policies import EVERYTHING

BIND, VOLUME, TMPFS = MountKind.BIND, MountKind.VOLUME, MountKind.TMPFS
ASKED = Container(
    user="1000:1000",
    workdir="/srv",
    init=False,
    stop_signal="SIGINT",
    stop_grace=30_000,
    mounts=(Mount(BIND, "/data", "/srv/data"),),
    networks=("backend",),
    secrets=(Secret("db-password", "password"),),
    constraints=("node.role==worker",),
    extra_hosts={"db.internal": "10.0.0.7"},
    hostname="worker",
    dns=("10.0.0.53",),
    cap_add=("NET_ADMIN",),
    sysctls={"net.core.somaxconn": "1024"},
    ulimits={"nofile": Ulimit(1024, 2048)},
)
NAMES = {"stop_signal": "stopSignal", "stop_grace": "stopGrace", "extra_hosts": "extraHosts", "cap_add": "capAdd"}
OPTIONS = tuple(field.name for field in fields(Container) if field.name not in FREE | {"entrypoint"})
EXACT = Policy(
    user=("1000:1000",),
    workdir=("/srv",),
    init=True,
    stop_signal=("SIGINT",),
    stop_grace=30_000,
    mounts=("/srv/data",),
    networks=("backend",),
    secrets=("db-password",),
    constraints=("node.role==worker",),
    extra_hosts=("db.internal",),
    hostname=("worker",),
    dns=("10.0.0.53",),
    cap_add=("NET_ADMIN",),
    sysctls=("net.core.somaxconn",),
    ulimits=("nofile",),
)


def only(option: str) -> Container:
    """A container that asks for this one option."""
    return replace(NO_CONTAINER, **{option: getattr(ASKED, option)})


def refused(container: Container, policy: Policy) -> set[str]:
    return {fault.field.removeprefix("container.") for fault in policy_faults(container, policy, "fast")}


def mounts(*allowed: str) -> Policy:
    return Policy(mounts=tuple(map(read_mount_pattern, allowed)))


def takes(policy: Policy, mount: Mount) -> bool:
    return not policy_faults(Container(mounts=(mount,)), policy, "fast")


def test_a_policy_names_every_option():
    assert {field.name for field in fields(Policy)} == {*OPTIONS, "entrypoint"}


def test_what_takes_rights_away_is_free_and_an_entry_point_is_beside_an_image():
    asked = Container(read_only=True, entrypoint=("sh",), cap_drop=("ALL",))
    assert policy_faults(asked, DEFAULT_POLICY, "fast") == []
    assert [fault.field for fault in policy_faults(asked, DEFAULT_POLICY, "fast", of_service=True)] == ["container.entrypoint"]
    assert policy_faults(asked, Policy(entrypoint=True), "fast", of_service=True) == []
    assert policy_faults(Container(read_only=True), DEFAULT_POLICY, "fast", of_service=True) == []


def test_who_asks_for_nothing_may_have_it_anywhere():
    assert policy_faults(NO_CONTAINER, DEFAULT_POLICY, "fast") == []


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_is_refused_unless_the_policy_names_it_and_the_fault_names_the_pool(option):
    for policy in (DEFAULT_POLICY, replace(EXACT, **{option: getattr(DEFAULT_POLICY, option)})):
        (fault,) = policy_faults(only(option), policy, "fast")
        assert fault.field == f"container.{NAMES.get(option, option)}"
        assert "the policy of pool 'fast'" in fault.message
        assert f"it allows no {NAMES.get(option, option)}" in fault.message


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_is_had_where_the_policy_names_it(option):
    policy = replace(DEFAULT_POLICY, **{option: getattr(EXACT, option)})
    assert policy_faults(only(option), policy, "fast") == []
    assert refused(ASKED, policy) == {NAMES.get(name, name) for name in OPTIONS if name != option}


def test_all_capabilities_are_allowed_by_no_pattern_of_some():
    asked = Container(cap_add=("ALL",))
    assert [refused(asked, Policy(cap_add=(pattern,))) for pattern in ("A*", "*L", "AL*", "NET_*", "*", "ALL")] == [{"capAdd"}] * 4 + [
        set()
    ] * 2


def test_all_refusals_are_reported_at_once():
    assert refused(ASKED, DEFAULT_POLICY) == {NAMES.get(name, name) for name in OPTIONS}
    assert policy_faults(ASKED, EXACT, "fast") == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("user", "1000"),
        ("user", "1000:0"),
        ("user", "01000:1000"),
        ("workdir", "/srv/x"),
        ("workdir", "/SRV"),
        ("stop_signal", "SIGKILL"),
        ("stop_grace", 30_001),
        ("networks", ("backend", "host")),
        ("networks", ("Backend",)),
        ("networks", ("backend2",)),
        ("secrets", (Secret("db-password2", "db-password"),)),
        ("constraints", ("node.role!=worker",)),
        ("constraints", ("node.role==worker", "node.hostname==a")),
        ("extra_hosts", {"db.internal": "10.0.0.7", "evil.db.internal": "10.0.0.8"}),
        ("hostname", "worker2"),
        ("dns", ("10.0.0.53", "10.0.0.54")),
        ("cap_add", ("NET_ADMIN", "SYS_ADMIN")),
        ("cap_add", ("ALL",)),
        ("sysctls", {"net.core.somaxconn": "1024", "net.core.rmem_max": "1"}),
        ("ulimits", {"nofile": Ulimit(1, 1), "nproc": Ulimit(1, 1)}),
    ],
)
def test_one_part_that_is_not_allowed_is_enough(option, value):
    assert refused(replace(ASKED, **{option: value}), EXACT) == {NAMES.get(option, option)}


def test_a_fault_says_what_is_not_allowed_and_what_is():
    policy = Policy(networks=("backend", "team-*"), stop_grace=60_000)
    asked = Container(networks=("backend", "host", "team-a", "other"), stop_grace=90_000)
    grace, networks = sorted(policy_faults(asked, policy, "fast"), key=lambda fault: fault.field, reverse=True)
    assert "asks for 'host', 'other': the policy of pool 'fast' does not allow it (it allows backend, team-*)" in networks.message
    assert "asks for '1m30s': the policy of pool 'fast' does not allow it (it allows 1m at most)" in grace.message


def test_a_fault_is_bounded():
    policy = Policy(mounts=tuple(f"/{'x' * 1000}{number}" for number in range(100)))
    asked = Container(mounts=tuple(Mount(BIND, f"/{number}", f"/{'y' * 1000}{number}") for number in range(50)))
    (fault,) = policy_faults(asked, policy, "fast")
    assert len(fault.message) < 1_500
    assert fault.message.count("…") == 12


# patterns


@pytest.mark.parametrize(
    ("text", "pattern", "does"),
    [
        ("backend", "backend", True),
        ("backend", "back", False),
        ("backend", "*", True),
        ("", "*", True),
        ("backend", "back*", True),
        ("back", "back*", True),
        ("backend", "*end", True),
        ("backend", "b*k*d", True),
        ("backend", "b*x*d", False),
        ("abc", "ab*bc", False),
        ("aba", "a*b*a", True),
        ("ab", "ab*b", False),
        ("a", "a*a*", False),
        ("ba", "*a*b*", False),
        ("aab", "*a*a*b", True),
        ("a?c", "a?c", True),
        ("abc", "a?c", False),
        ("abc", "[a]bc", False),
        ("abc", "a.c", False),
        ("a\nb", "a*b", True),
        ("backend\n", "backend", False),
        ("Backend", "backend", False),
    ],
)
def test_a_star_stands_for_any_text_and_all_else_for_itself(text, pattern, does):
    assert matches(text, pattern) is does


@given(st.text("ab", max_size=8), st.text("ab*", max_size=6))
def test_a_pattern_fits_what_the_same_regular_expression_does(text, pattern):
    assert matches(text, pattern) is bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL))


def test_a_pattern_of_many_stars_is_decided_at_once():
    assert not matches("a" * 1000, "*a" * 400 + "b*c")
    assert matches("a" * 1000, "*a" * 400 + "*")


# mounts


@pytest.mark.parametrize(
    ("pattern", "source", "does"),
    [
        ("/srv/data", "/srv/data", True),
        ("/srv/data", "/srv/data/x", False),
        ("/srv/data", "/srv/data2", False),
        ("/srv/data", "/srv", False),
        ("/srv/data", "/", False),
        ("/srv/data", "/SRV/data", False),
        ("/srv/data", "/srv/da\u0442a", False),
        ("/srv/data", "/srv\u2215data", False),
        ("/srv/data/", "/srv/data/x", True),
        ("/srv/data/", "/srv/data/x/y", True),
        ("/srv/data/", "/srv/data", False),
        ("/srv/data/", "/srv/data2/x", False),
        ("/srv/data/", "/srv", False),
        ("/", "/", True),
        ("/", "/etc", True),
        ("*", "/etc", True),
        ("/srv/ü", "/srv/u\u0308", False),
    ],
)
def test_a_pattern_of_a_path_is_that_path_or_with_a_slash_what_is_below_it(pattern, source, does):
    assert takes(mounts(pattern), Mount(BIND, "/x", source)) is does
    assert takes(mounts(pattern + ":ro"), Mount(BIND, "/x", source, read_only=True)) is does
    assert takes(mounts(pattern), Mount(BIND, "/x", source, read_only=True)) is does
    assert not takes(mounts(pattern + ":ro"), Mount(BIND, "/x", source))


@pytest.mark.parametrize(
    "source",
    [
        "/srv/data/../..",
        "/srv/data/../../etc",
        "/srv/data/./../etc",
        "//srv/data/x/../../..",
        "/srv/data//../etc",
        '/srv/data/{{"\\x2e\\x2e"}}/x',
    ],
)
def test_no_way_out_of_what_is_below_a_path_is_a_path(source):
    with pytest.raises(ValueError, match="has"):
        read_path(source)


@given(st.lists(st.sampled_from(["srv", "data", "x", "..", ".", "", "{{x}}", "a:b"]), max_size=6), st.booleans())
def test_what_is_allowed_below_a_path_is_below_it(parts, slash):
    try:
        source = read_path("/" + "/".join(parts) + "/" * slash)
    except ValueError:
        return
    below = source.startswith("/srv/data/")
    assert takes(mounts("/srv/data/"), Mount(BIND, "/x", source)) is below


@pytest.mark.parametrize(
    ("pattern", "mount", "does"),
    [
        ("volume:data", Mount(VOLUME, "/x", "data"), True),
        ("volume:data", Mount(VOLUME, "/x", "data2"), False),
        ("volume:data", Mount(VOLUME, "/x", "Data"), False),
        ("volume:team-*", Mount(VOLUME, "/x", "team-a"), True),
        ("volume:*", Mount(VOLUME, "/x", "data"), True),
        ("volume:*", Mount(BIND, "/x", "/data"), False),
        ("volume:*", Mount(TMPFS, "/x"), False),
        ("volume:*:ro", Mount(VOLUME, "/x", "data"), False),
        ("volume:*:ro", Mount(VOLUME, "/x", "data", read_only=True), True),
        ("tmpfs", Mount(TMPFS, "/x"), True),
        ("tmpfs", Mount(TMPFS, "/x", size=4096), True),
        ("tmpfs", Mount(VOLUME, "/x", "tmpfs"), False),
        ("tmpfs:ro", Mount(TMPFS, "/x"), False),
        ("/data", Mount(VOLUME, "/x", "data"), False),
        ("/", Mount(VOLUME, "/x", "data"), False),
        ("/", Mount(TMPFS, "/x"), False),
        ("*", Mount(VOLUME, "/x", "data"), True),
        ("*", Mount(TMPFS, "/x"), True),
        ("*:ro", Mount(TMPFS, "/x"), False),
        ("*:ro", Mount(BIND, "/x", "/etc", read_only=True), True),
    ],
)
def test_each_kind_of_mount_has_its_own_patterns(pattern, mount, does):
    assert takes(mounts(pattern), mount) is does


@pytest.mark.parametrize(
    ("pattern", "read"),
    [("/srv/", "/srv/"), ("/srv", "/srv"), ("/", "/"), ("/srv/:ro", "/srv/:ro"), ("*:ro", "*:ro"), ("volume:ab", "volume:ab")],
)
def test_a_pattern_of_mounts_keeps_the_slash_that_means_something(pattern, read):
    assert read_mount_pattern(pattern) == read


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "srv",
            "./srv",
            "/srv/*",
            "/srv/../x",
            "//",
            "/srv//",
            "/srv:/data",
            "/srv:rw",
            "volume:",
            "volume:/srv",
            "volume:a b",
            ":ro",
            "bind:/srv",
        )
    ],
)
def test_a_pattern_of_mounts_that_would_never_fit_is_refused(pattern):
    with pytest.raises(ValueError, match=r"has|write|name"):
        read_mount_pattern(pattern)


# limits

LIMITS = Resources(cpus=2, memory=2**30, pids=100)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Resources(cpus=2.001), "cpus"),
        (Resources(memory=2**30 + 1), "memory"),
        (Resources(pids=101), "pids"),
        (Resources(reserve_cpus=3), "reserve.cpus"),
        (Resources(reserve_memory=2**31), "reserve.memory"),
    ],
)
def test_more_than_a_limit_is_refused_and_no_more_than_it_is_not(asked, field):
    (fault,) = limit_faults(asked, LIMITS, "fast")
    assert fault.field == f"resources.{field}"
    assert "pool 'fast'" in fault.message
    most = {"cpus": "(2)", "memory": "(1GiB)", "pids": "(100)"}[field.removeprefix("reserve.")]
    assert most in fault.message
    assert limit_faults(asked, NO_RESOURCES, "fast") == []
    assert limit_faults(replace(LIMITS, reserve_cpus=2, reserve_memory=2**30), LIMITS, "fast") == []


def test_all_values_above_limits_are_reported_at_once():
    faults = limit_faults(Resources(3, 2**31, 200, 3, 2**31), LIMITS, "fast")
    assert [fault.field.removeprefix("resources.") for fault in faults] == ["cpus", "memory", "pids", "reserve.cpus", "reserve.memory"]


def test_what_is_not_asked_for_is_the_limit():
    assert Resources(cpus=1, reserve_memory=5).within(LIMITS) == Resources(1, 2**30, 100, None, 5)
    assert NO_RESOURCES.within(LIMITS) == LIMITS
    assert LIMITS.within(NO_RESOURCES) == LIMITS


def test_a_policy_of_anything_takes_all():
    assert policy_faults(ASKED, EVERYTHING, "fast", of_service=True) == []
