"""What the settings say that a pool's containers may have: how it is read, shown again, and when it is too much."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from fastlane.config.access import hash_token, make_token
from fastlane.config.load import load
from fastlane.config.pools import LIMIT_KEYS, POLICY_KEYS, POOLS
from fastlane.errors import Invalid
from fastlane.models.container import ANYTHING, DEFAULT_POLICY, MAX_BYTES, MAX_GRACE, NO_RESOURCES, Policy, Resources
from fastlane.models.pool import Pool
from fastlane.models.retention import Retention
from tests.support.credentials import quick_hash_text

POOL = '[[pools]]\nname = "default"\nmatch = ""\nhosts = ["unix:///s"]\n'
LISTS = tuple(name for name, key in POLICY_KEYS.items() if getattr(DEFAULT_POLICY, key.attribute) == ())


def pool(**more: Any) -> Pool:
    """The one pool of such settings."""
    (found,) = POOLS.read([{"name": "default", "match": "", "hosts": ["unix:///s"], **more}])
    return found


def policy(**more: Any) -> Policy:
    return pool(policy=more).policy


def faults(**more: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        pool(**more)
    return [str(fault) for fault in caught.value.faults]


def test_a_pool_allows_nothing_and_limits_nothing_unless_it_says_so():
    assert (pool().policy, pool().limits) == (DEFAULT_POLICY, NO_RESOURCES)
    assert (pool(policy={}).policy, pool(limits={}).limits) == (DEFAULT_POLICY, NO_RESOURCES)
    assert policy(**dict.fromkeys(POLICY_KEYS, False)) == DEFAULT_POLICY
    assert policy(**{key: [] for key in LISTS}) == DEFAULT_POLICY


def test_every_option_has_its_key():
    assert [key.attribute for key in POLICY_KEYS.values()] == [field.name for field in fields(Policy)]


def test_true_is_anything():
    anything = {POLICY_KEYS[name].attribute: ANYTHING for name in LISTS}
    assert policy(**dict.fromkeys(POLICY_KEYS, True)) == Policy(init=True, entrypoint=True, stop_grace=MAX_GRACE, **anything)


def test_a_pool_may_keep_its_history_for_longer_or_less_long():
    written = {"jobs": "2d", "executions": "1m", "maxExecutions": 5, "logs": "1h30m"}
    found = pool(retention=written)
    assert found.retention == Retention(172_800_000, 60_000, 5, 5_400_000)
    assert json.loads(POOLS.show((found,)))[0]["retention"] == written
    assert pool(retention={"logs": "1h"}).retention == Retention(logs=3_600_000)
    said = faults(retention={"jobs": "59s", "executions": 60, "maxExecutions": 0, "log": "1h"})
    for words in ("retention.jobs must be at least 1m", 'write "60s"', "from 1 to 1000000", "nearest known name is logs"):
        assert words in "\n".join(said)


def test_tasks_of_a_pool_take_turns_where_it_says_so():
    assert [pool().fair_share, pool(fairShare=True).fair_share, pool(fairShare=False).fair_share] == [False, True, False]
    assert ["fairShare" in json.loads(POOLS.show((pool(fairShare=on),)))[0] for on in (True, False)] == [True, False]
    assert faults(fairShare="often") == ["pool 1: fairShare 'often' is neither true nor false"]


def test_a_pool_may_let_executions_run_for_longer_than_the_others():
    assert (pool().hard_timeout, pool(hardTimeout="6h").hard_timeout) == (None, 21_600)
    (fault,) = faults(hardTimeout=60)
    assert 'write "60s"' in fault


def test_a_policy_is_written_in_toml(tmp_path):
    Path("fastlane.toml").write_text(
        f'[[users]]\nname = "anna"\npassword = "{quick_hash_text("x")}"\nrole = "admin"\n'
        f'{POOL}limits = {{ cpus = 1.5, memory = "512m", pids = 100 }}\n'
        '[pools.policy]\nuser = ["1000", "team-*"]\nmounts = ["/srv/data/", "volume:cache-*:ro", "tmpfs"]\nnetworks = "backend"\n'
        'stopGrace = "1m30s"\ninit = true\nstopSignal = ["int", "9"]\nconstraints = ["node.role == worker", "node.labels.x == *"]\n'
        'extraHosts = "*.Internal"\nworkdir = "/srv/"\nsecrets = true\nhostname = "Job-*"\ndns = "10.0.0.53"\nentrypoint = true\n'
        'capAdd = ["cap_net_raw", "sys_*"]\nsysctls = "net.*"\nulimits = "nofile"\nconfigs = "shop-*"\ngeneric = "gpu"\n'
    )
    (found,) = load("up").settings.pools
    assert found.limits == Resources(1.5, 2**29, 100)
    assert found.policy == Policy(
        user=("1000", "team-*"),
        workdir=("/srv",),
        init=True,
        stop_signal=("SIGINT", "SIGKILL"),
        stop_grace=90_000,
        mounts=("/srv/data/", "volume:cache-*:ro", "tmpfs"),
        networks=("backend",),
        secrets=ANYTHING,
        constraints=("node.role==worker", "node.labels.x==*"),
        extra_hosts=("*.internal",),
        entrypoint=True,
        hostname=("job-*",),
        dns=("10.0.0.53",),
        cap_add=("NET_RAW", "SYS_*"),
        sysctls=("net.*",),
        ulimits=("nofile",),
        configs=("shop-*",),
        generic=("gpu",),
    )


PATTERNS = st.lists(st.sampled_from(["a", "a*", "*", "*b", "a-b"]), max_size=3).map(tuple)
POLICIES = st.builds(
    Policy,
    user=PATTERNS,
    workdir=st.lists(st.sampled_from(["/a", "/", "/a*"]), max_size=2).map(tuple),
    init=st.booleans(),
    stop_signal=st.lists(st.sampled_from(["SIGINT", "SIGRTMIN+1", "SIGRT*"]), max_size=2).map(tuple),
    stop_grace=st.none() | st.integers(1_000, MAX_GRACE),
    mounts=st.lists(st.sampled_from(["/", "/a", "/a/", "/a/:ro", "volume:ab", "volume:*", "tmpfs", "*:ro", "*"]), max_size=3).map(tuple),
    networks=PATTERNS,
    secrets=PATTERNS,
    constraints=st.lists(st.sampled_from(["node.role==worker", "node.*", "*"]), max_size=2).map(tuple),
    extra_hosts=PATTERNS,
    entrypoint=st.booleans(),
    hostname=PATTERNS,
    cap_add=st.lists(st.sampled_from(["NET_RAW", "NET_*", "*"]), max_size=2).map(tuple),
    sysctls=st.lists(st.sampled_from(["net.core.somaxconn", "net.*", "*"]), max_size=2).map(tuple),
    configs=PATTERNS,
    generic=PATTERNS,
    ulimits=st.lists(st.sampled_from(["nofile", "n*", "*"]), max_size=2).map(tuple),
    dns=st.lists(st.sampled_from(["10.0.0.53", "10.*", "2001:db8::7", "*"]), max_size=2).map(tuple),
)
LIMITS = st.builds(
    Resources, st.none() | st.floats(0.001, 1000), st.none() | st.integers(2**22, MAX_BYTES), st.none() | st.integers(1, 2**22)
)


@given(POLICIES, LIMITS)
def test_what_config_shows_of_a_pool_is_read_as_the_same(policy: Policy, limits: Resources) -> None:
    pools = (Pool("default", "", ("unix:///s",), policy=policy, limits=limits),)
    assert POOLS.read(POOLS.show(pools)) == pools
    (row,) = json.loads(POOLS.show(pools))
    assert row.get("policy", {}).keys() <= POLICY_KEYS.keys()
    assert ("policy" in row, "limits" in row) == (policy != DEFAULT_POLICY, limits != NO_RESOURCES)


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ({"colour": True}, "policy.colour is not known; the keys are: user, workdir, "),
        ({"networs": True}, "policy.networs is not known; the nearest known name is networks"),
        ({"networks": 1}, "policy.networks is neither true (anything), false, text nor a list of texts"),
        ({"networks": ["a", 1]}, "policy.networks is neither true"),
        ({"networks": {"a": "b"}}, "policy.networks is neither true"),
        ({"networks": [""]}, "policy.networks '' is not a pattern"),
        ({"networks": ["a\nb*"]}, "is not a pattern"),
        ({"networks": ["a" * 1025]}, "is not a pattern"),
        ({"networks": ["a"] * 101}, "more than 100 patterns"),
        ({"networks": ["a b"]}, "is not the name of a network"),
        ({"user": "a b"}, "is not a user"),
        ({"workdir": "/srv/../x"}, "has an empty part"),
        ({"stopSignal": "FOO"}, "is not a signal"),
        ({"stopGrace": "2h"}, "is not a duration from 1s to 1h"),
        ({"stopGrace": "10"}, 'write "10s"'),
        ({"init": "yes"}, "is neither true nor false"),
        ({"mounts": "/srv/*"}, 'write "/PATH/" for every path below it'),
        ({"mounts": "srv"}, "is not a pattern of mounts"),
        ({"mounts": "/srv/../etc"}, "has an empty part"),
        ({"secrets": "a/b"}, "is not the name of a secret"),
        ({"constraints": "role==worker"}, "is not a constraint"),
        ({"extraHosts": "a b"}, "is not the name of a host"),
        ({"entrypoint": "sh"}, "is neither true nor false"),
        ({"hostname": "a b"}, "is not a host name"),
        ({"dns": "ns1"}, "is not an IP address"),
        ({"capAdd": "NET"}, "is not a capability of Linux"),
        ({"sysctls": "somaxconn"}, "is not the name of a kernel parameter"),
        ({"configs": "a/b"}, "is not the name of a config of the swarm"),
        ({"ulimits": "files"}, "is not a ulimit; there are core"),
        (True, "policy is not a table"),
        ([], "policy is not a table"),
        ("*", "policy is not a table"),
    ],
)
def test_a_wrong_policy_is_answered_with_its_pool_its_key_and_what_to_write(policy, fault):
    (said,) = faults(policy=policy)
    assert said.startswith("pool 1: policy")
    assert fault in said


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"cpus": "2"}, "limits.cpus '2' is not a number of processors"),
        ({"cpus": float("inf")}, "is too large; write a number of processors"),
        ({"memory": "1m"}, "limits.memory '1m' is not a size from 4MiB"),
        ({"memory": "much"}, "limits.memory 'much' is not a size"),
        ({"pids": 0}, "limits.pids 0 is not a whole number"),
        ({"reserve": {}}, "limits.reserve is not known"),
        (5, "limits is not a table"),
    ],
)
def test_wrong_limits_are_answered_likewise(limits, fault):
    (said,) = faults(limits=limits)
    assert said.startswith("pool 1: limits")
    assert fault in said


def test_all_faults_of_a_pool_are_reported_at_once():
    said = faults(policy={"networks": 1, "user": "a b"}, limits={"cpus": 0}, maxRunning=0, pul="x")
    assert len(said) == 5
    assert all(fault.startswith("pool 1: ") for fault in said)


# without users


OPEN = POOL + '[pools.policy]\nnetworks = ["backend"]\n'
WORDS = {"FASTLANE_REDIS_URL": "redis://q"}


def told(role: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(role)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("role", ["up", "api"])
@pytest.mark.parametrize(
    "allows",
    ['networks = ["a"]', "init = true", 'stopGrace = "1s"', "user = true", 'mounts = "tmpfs"', 'extraHosts = "db"', "workdir = true"],
)
def test_a_server_without_authentication_does_not_start_with_a_pool_that_allows_something(monkeypatch, role, allows):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    Path("fastlane.toml").write_text(f"{POOL}[pools.policy]\n{allows}\n")
    (fault,) = told(role)
    assert fault.startswith(f"pools: the policy of pool 'default' allows {allows.split()[0]} to containers")
    assert "fastlane password" in fault
    assert "fastlane token" in fault


def test_services_as_which_jobs_may_run_need_users_too_and_are_names_or_patterns(monkeypatch):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    Path("fastlane.toml").write_text(f'{POOL}services = ["shop_*", "bank_vault"]\n')
    (fault,) = told("api")
    assert fault.startswith("pools: pool 'default' has services as which jobs may run, but there are no users")
    (found,) = load("worker").settings.pools
    assert found.services == ("shop_*", "bank_vault")
    assert POOLS.read(POOLS.show((found,))) == (found,)
    assert (pool().services, pool(services=True).services) == ((), ANYTHING)
    assert "is not the name of a service of the swarm" in faults(services=["a/b"])[0]


def test_a_worker_starts_all_the_same(monkeypatch):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    Path("fastlane.toml").write_text(OPEN)
    assert load("worker").settings.pools[0].policy.networks == ("backend",)


@pytest.mark.parametrize("allows", ["", "networks = []\n", "init = false\nuser = false\n"])
def test_limits_and_a_policy_of_nothing_need_no_users(allows):
    Path("fastlane.toml").write_text(f"{POOL}limits = {{ cpus = 1 }}\n[pools.policy]\n{allows}")
    assert load("up").settings.pools[0].limits.cpus == 1


def test_every_pool_that_allows_something_is_named(monkeypatch):
    rows = [{"name": name, "match": name, "hosts": ["unix:///s"], "policy": {"init": name != "b"}} for name in "abc"]
    monkeypatch.setenv("FASTLANE_POOLS", json.dumps(rows))
    assert [fault.split("'")[1] for fault in told("up")] == ["a", "c"]


@pytest.mark.parametrize(
    "known",
    [
        {"FASTLANE_USERS": json.dumps([{"name": "anna", "password": quick_hash_text("x"), "role": "read"}])},
        {"FASTLANE_TOKENS": json.dumps([{"name": "ci", "token": hash_token(make_token()), "role": "run"}])},
        {"BASIC_AUTH_USERNAME": "anna", "BASIC_AUTH_PASSWORD": "x"},
    ],
)
@pytest.mark.parametrize("role", ["up", "api"])
def test_with_users_or_tokens_it_starts(monkeypatch, role, known):
    Path("fastlane.toml").write_text(OPEN)
    for name, value in (known | WORDS).items():
        monkeypatch.setenv(name, value)
    assert load(role).settings.pools[0].policy.networks == ("backend",)


def test_users_that_cannot_be_read_are_the_only_fault_reported(monkeypatch):
    Path("fastlane.toml").write_text(OPEN)
    monkeypatch.setenv("FASTLANE_USERS", "nonsense")
    (fault,) = told("up")
    assert fault.startswith("FASTLANE_USERS")


def test_no_users_and_an_empty_list_of_them_are_the_same():
    Path("fastlane.toml").write_text("users = []\ntokens = []\n" + OPEN)
    assert "the policy of pool 'default'" in told("up")[0]


def test_the_keys_of_limits_are_those_of_resources():
    assert [key.attribute for key in LIMIT_KEYS.values()] == ["cpus", "memory", "pids"]


def test_the_faults_of_single_pools_and_those_between_pools_come_at_once() -> None:
    rows = [{"name": "a", "match": "", "hosts": ["unix:///s"], "maxRunning": 0}, {"name": "a", "match": "(", "hosts": []}, {"match": 5}]
    with pytest.raises(Invalid) as caught:
        POOLS.read(rows)
    found = [fault.message for fault in caught.value.faults]
    wanted = ("pool 1: maxRunning", "pool 3: has no name", "pool 3: has no hosts", "pool 3: match", "two pools are named 'a'")
    for words in (*wanted, "matches every task and stands before", "pool 'a' has no hosts", "match is not a regular expression"):
        assert any(words in message for message in found), (words, found)
    assert len(found) == 8
