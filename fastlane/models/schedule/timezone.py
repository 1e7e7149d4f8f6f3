"""Time zones by their IANA names: the known names, suggestions for wrong ones, and the zones (from the system, else from tzdata)."""

import re
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from fastlane.errors import quoted

FORMS = 'write an IANA name such as "Europe/Berlin"'
MAX_TIMEZONE = 64

_NOT_NAMES = frozenset({"localtime", "Factory", "posixrules"})
"""Names in a machine's zone folder that do not mean the same zone everywhere."""

_OFFSET = re.compile(r"(utc|gmt)?\s*[+-]\s*[0-9]{1,2}(:?[0-9]{2})?|[0-9]+", re.IGNORECASE)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """The names of all zones; read once."""
    return frozenset(available_timezones() - _NOT_NAMES)


def zone(name: str) -> ZoneInfo:
    """The zone of that name. Raises ValueError when this machine does not know it, though another machine accepted it once."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone that this machine knows; {FORMS}, or update its tzdata") from None


def read_timezone(text: object) -> str:
    """Reads the name of a zone (None: UTC), as IANA spells it. Raises ValueError, whose text suggests the nearest names."""
    if text is None:
        return "UTC"
    if not isinstance(text, str):
        raise ValueError(f"is not text; {FORMS}")
    if text in zone_names():
        return text
    if _OFFSET.fullmatch(text.strip()):
        raise ValueError(f"{quoted(text)} is an offset, which does not cover summer time; {FORMS}")
    nearest = nearest_zones(text)
    forms = f"write {' or '.join(map(repr, nearest))}" if nearest else FORMS
    raise ValueError(f"{quoted(text)} is not a time zone; {forms}")


def nearest_zones(text: str) -> list[str]:
    """At most three zones that may be meant by a name in another case, a city alone, or a typing error."""
    meant = text.strip().lower().replace(" ", "_")[:MAX_TIMEZONE]
    known = _by_any_name()
    if meant in known:
        return [known[meant]]
    return list(dict.fromkeys(known[near] for near in get_close_matches(meant, known, n=3, cutoff=0.7)))


@lru_cache(maxsize=1)
def _by_any_name() -> dict[str, str]:
    """Zones by full name and by last part, in lower case; where two share a key, a region's zone (with a ``/``) wins."""
    names = sorted(zone_names(), key=lambda name: ("/" not in name, name.startswith("Etc/"), name))
    known = {name.lower(): name for name in names}
    for name in names:
        known.setdefault(name.rpartition("/")[2].lower(), name)
    return known
