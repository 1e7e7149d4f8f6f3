"""Time zones by their IANA names: which there are, the one that was meant, and the zone itself (from the system, else from tzdata)."""

import re
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

FORMS = 'write an IANA name such as "Europe/Berlin"'
MOST_NAME = 64

_NOT_NAMES = frozenset({"localtime", "Factory", "posixrules"})
"""What a machine's folder of zones may hold beside zones that mean the same everywhere."""

_OFFSET = re.compile(r"(utc|gmt)?\s*[+-]\s*[0-9]{1,2}(:?[0-9]{2})?|[0-9]+", re.IGNORECASE)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """The names of all zones, as they were when first asked for."""
    return frozenset(available_timezones() - _NOT_NAMES)


def zone(name: str) -> ZoneInfo:
    """The zone of that name; raises ValueError when this machine has none such (a name once accepted stays in the store)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone that this machine knows; {FORMS}, or renew its tzdata") from None


def read_timezone(text: object) -> str:
    """The name of a zone (None: UTC), exactly as IANA spells it; raises ValueError that gives the nearest names."""
    if text is None:
        return "UTC"
    if not isinstance(text, str):
        raise ValueError(f"is not text; {FORMS}")
    if text in zone_names():
        return text
    shown = repr(text if len(text) <= 40 else text[:40] + "…")
    if _OFFSET.fullmatch(text.strip()):
        raise ValueError(f"{shown} is an offset, which says nothing of summer time; {FORMS}")
    nearest = nearest_zones(text)
    forms = f"write {' or '.join(map(repr, nearest))}" if nearest else FORMS
    raise ValueError(f"{shown} is not a time zone; {forms}")


def nearest_zones(text: str) -> list[str]:
    """At most three zones that may have been meant: another case, the city alone, a slip of the pen."""
    meant = text.strip().lower().replace(" ", "_")[:MOST_NAME]
    known = _by_any_name()
    if meant in known:
        return [known[meant]]
    return list(dict.fromkeys(known[near] for near in get_close_matches(meant, known, n=3, cutoff=0.7)))


@lru_cache(maxsize=1)
def _by_any_name() -> dict[str, str]:
    """Zones by their whole name and by their last part, in lower case; where two share one, a region's (with a ``/``) goes first."""
    names = sorted(zone_names(), key=lambda name: ("/" not in name, name.startswith("Etc/"), name))
    known = {name.lower(): name for name in names}
    for name in names:
        known.setdefault(name.rpartition("/")[2].lower(), name)
    return known
