"""The index of a pool's hosts chooses what the rule chooses that goes through all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given, strategies as st

from fastlane.models.host import HostView
from fastlane.models.placement import Ranking, place
from fastlane.models.pool import HostRule, Pool

NAMES = tuple("abcdefgh")
views = st.builds(
    HostView,
    name=st.just(""),
    usable=st.sampled_from([True, True, True, False]),
    swarm_id=st.sampled_from([None, "S", "T", "U"]),
    running=st.integers(0, 3),
    closed=st.sampled_from([None, None, None, "is drained"]),
)
rules = st.dictionaries(st.sampled_from(NAMES), st.builds(HostRule, st.integers(1, 3), st.none() | st.integers(1, 6)))


@given(
    pool=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    rule=rules,
    seen=st.lists(views, max_size=len(NAMES)),
    placed=st.dictionaries(st.sampled_from((*NAMES, "elsewhere")), st.integers(0, 4)),
)
def test_the_index_chooses_what_the_rule_chooses(
    pool: Sequence[str], rule: Mapping[str, HostRule], seen: Sequence[HostView], placed: Mapping[str, int]
) -> None:
    made = Pool("p", "", tuple(pool), rules={name: found for name, found in rule.items() if name in pool})
    hosts = [replace(view, name=name) for view, name in zip(seen, NAMES, strict=False)]
    counted = [replace(host, running=host.running + placed.get(host.name, 0)) for host in hosts]
    assert Ranking(made, hosts).best(placed) == place(made, counted).host


def test_what_was_placed_since_spreads_over_all_hosts() -> None:
    pool = Pool("p", "", NAMES)
    ranking = Ranking(pool, [HostView(name, usable=True) for name in NAMES])
    placed: dict[str, int] = {}
    for _ in range(3 * len(NAMES)):
        chosen = ranking.best(placed) or ""
        placed[chosen] = placed.get(chosen, 0) + 1
    assert placed == dict.fromkeys(NAMES, 3)


@given(
    pool=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    rule=rules,
    seen=st.lists(views, max_size=len(NAMES)),
    placed=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4)),
    avoid=st.sampled_from(NAMES),
)
def test_a_host_that_is_avoided_is_chosen_only_when_no_other_may_be(
    pool: Sequence[str], rule: Mapping[str, HostRule], seen: Sequence[HostView], placed: Mapping[str, int], avoid: str
) -> None:
    named = sorted(pool, key=avoid.__eq__)  # the avoided one last: among equals, the order of the pool decides
    made = Pool("p", "", tuple(named), rules={name: found for name, found in rule.items() if name in pool})
    hosts = [replace(view, name=name) for view, name in zip(seen, NAMES, strict=False)]
    shut = [replace(host, running=host.running + placed.get(host.name, 0)) for host in hosts]
    shut = [replace(host, usable=False, reason="is avoided") if host.name == avoid else host for host in shut]
    ranking = Ranking(made, hosts)
    assert ranking.best(placed, avoid) == (place(made, shut).host or ranking.best(placed))
