"""Which container options the jobs of a pool may set: only those that its policy allows. Pure rules.

The operator writes the policy. Each option has a list of patterns. One must match; an empty list, the default, allows nothing.
``*`` in a pattern matches any text, even none; everything else matches itself. Mounts have their own patterns:

================ ============================================================================
``/srv/data``    this path on the node, and no other
``/srv/data/``   every path below it (a user who can write there can link to elsewhere)
``volume:NAME``  this volume of the engine; a pattern
``tmpfs``        memory
``…:ro``         the same, read-only
``*``            anything
================ ============================================================================

Values are compared in one form only (see ``options``), so that another spelling does not evade the policy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastlane.errors import Fault, quoted
from fastlane.models.container.container import Container, Mount, MountKind, Resources
from fastlane.models.container.options import read_path, read_volume, show_size
from fastlane.models.schedule.schedule import show_duration

ANYTHING = ("*",)
READ_ONLY = ":ro"
VOLUME = "volume:"
TMPFS = "tmpfs"
MAX_SHOWN = 5
"""How many items of a list a fault repeats."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The allowed patterns for each option. ``init``: whether jobs may set it. ``stop_grace``: the longest, in milliseconds; None: jobs may
    not set it."""

    user: tuple[str, ...] = ()
    workdir: tuple[str, ...] = ()
    init: bool = False
    stop_signal: tuple[str, ...] = ()
    stop_grace: int | None = None
    mounts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()


DEFAULT_POLICY = Policy()
"""Allows nothing."""


def policy_faults(container: Container, policy: Policy, pool: str) -> list[Fault]:
    """The options that the policy of this pool does not allow, by field; each fault says what the policy does allow."""
    return list(_faults(container, policy, pool))


def limit_faults(resources: Resources, limits: Resources, pool: str) -> list[Fault]:
    """The resources that exceed the limits of this pool."""
    asked: Sequence[tuple[str, float | None, float | None, Callable[[Any], str]]] = (
        ("cpus", resources.cpus, limits.cpus, "{:g}".format),
        ("memory", resources.memory, limits.memory, show_size),
        ("pids", resources.pids, limits.pids, str),
        ("reserve.cpus", resources.reserve_cpus, limits.cpus, "{:g}".format),
        ("reserve.memory", resources.reserve_memory, limits.memory, show_size),
    )
    return [
        Fault(f"resources.{field}", f"is more than the limits of pool {pool!r} allow ({show(most)}); set that or less")
        for field, wanted, most, show in asked
        if wanted is not None and most is not None and wanted > most
    ]


def matches(text: str, pattern: str) -> bool:
    """Whether the text matches the pattern. The time grows with the product of both lengths at most."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == first
    last = middle.pop()
    place, end = len(first), len(text) - len(last)
    if end < place or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def mount_name(mount: Mount) -> str:
    """A mount in the form of a policy's patterns."""
    names = {MountKind.BIND: mount.source or "", MountKind.VOLUME: f"{VOLUME}{mount.source}", MountKind.TMPFS: TMPFS}
    return names[mount.kind] + (READ_ONLY if mount.read_only else "")


def read_mount_pattern(text: str) -> str:
    """Reads a pattern of mounts, and returns its path in the form that is compared. Raises ValueError for one that can never match."""
    what = text.removesuffix(READ_ONLY)
    end = text[len(what) :]
    if what.startswith(VOLUME):
        name = what.removeprefix(VOLUME)
        return VOLUME + (name if "*" in name else read_volume(name)) + end
    if not what.startswith("/"):
        if what not in (TMPFS, *ANYTHING):
            raise ValueError(
                f'{quoted(text)} is not a pattern of mounts; write "/PATH", "/PATH/", "volume:NAME", "tmpfs" or "*", with or without ":ro"'
            )
        return text
    if "*" in what:
        raise ValueError(f'{quoted(text)} has a * in a path, where it is not a wildcard; write "/PATH/" for every path below it')
    path = read_path(what)
    return path + ("/" if what.endswith("/") and path != "/" else "") + end


def _faults(container: Container, policy: Policy, pool: str) -> Iterator[Fault]:
    texts = (
        ("user", _given(container.user), policy.user),
        ("workdir", _given(container.workdir), policy.workdir),
        ("stopSignal", _given(container.stop_signal), policy.stop_signal),
        ("networks", container.networks, policy.networks),
        ("secrets", tuple(secret.name for secret in container.secrets), policy.secrets),
        ("constraints", container.constraints, policy.constraints),
        ("extraHosts", tuple(container.extra_hosts), policy.extra_hosts),
    )
    for option, wanted, patterns in texts:
        refused = [text for text in wanted if not any(matches(text, pattern) for pattern in patterns)]
        if refused:
            yield _refused(option, refused, patterns, pool)
    if container.init is not None and not policy.init:
        yield _refused("init", [str(container.init).lower()], (), pool)
    if container.stop_grace is not None and container.stop_grace > (policy.stop_grace or 0):
        longest = () if policy.stop_grace is None else (f"{show_duration(policy.stop_grace / 1000)} at most",)
        yield _refused("stopGrace", [show_duration(container.stop_grace / 1000)], longest, pool)
    mounts = [mount_name(mount) for mount in container.mounts if not any(_fits(mount, pattern) for pattern in policy.mounts)]
    if mounts:
        yield _refused("mounts", mounts, policy.mounts, pool)


def _fits(mount: Mount, pattern: str) -> bool:
    if pattern.endswith(READ_ONLY):
        return mount.read_only and _fits(mount, pattern.removesuffix(READ_ONLY))
    if pattern in ANYTHING:
        return True
    source = mount.source or ""
    if mount.kind is MountKind.TMPFS:
        return pattern == TMPFS
    if mount.kind is MountKind.VOLUME:
        return pattern.startswith(VOLUME) and matches(source, pattern.removeprefix(VOLUME))
    return source == pattern or (pattern.startswith("/") and pattern.endswith("/") and source.startswith(pattern))


def _refused(option: str, refused: Sequence[str], allowed: Sequence[str], pool: str) -> Fault:
    may = f"it allows {_some(allowed)}" if allowed else f"it allows no {option}"
    words = f"{_some([repr(text) for text in refused])}: the policy of pool {pool!r} does not allow it ({may})"
    return Fault(f"container.{option}", f"asks for {words}; leave it out, or ask the operator to allow it")


def _some(texts: Sequence[str]) -> str:
    shorter = [text if len(text) <= 80 else text[:80] + "…" for text in texts[:MAX_SHOWN]]
    return ", ".join([*shorter, *(["…"] if len(texts) > MAX_SHOWN else [])])


def _given(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)
