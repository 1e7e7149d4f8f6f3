"""The page docs/configuration.md: ``page.md``, with tables of the settings, of the keys of a pool, and of the names of fastlane 2.x."""

from collections.abc import Iterable
from importlib.resources import files
from string import Template

from fastlane.config.legacy import LEGACY_NAMES, PASSWORD, USER, USERNAME
from fastlane.config.pools import LIMIT_KEYS, POLICY_KEYS, POOL_KEYS
from fastlane.config.settings import SETTINGS


def markdown() -> str:
    """The whole page."""
    secret = [f"`{row.variable}_FILE`" for row in SETTINGS if row.secret]
    old = [(f"`{row.old}`", f"`{row.new}`", row.difference) for row in LEGACY_NAMES]
    parts = {
        "settings": _table((f"`{row.name}`", row.default, f"{row.meaning}{' (secret)' if row.secret else ''}") for row in SETTINGS),
        "pools": _table((f"`{name}`", key.default, key.meaning) for name, key in POOL_KEYS.items()),
        "old": _table([*old, (f"`{USERNAME}` (also `{USER}`) with `{PASSWORD}`", "`users`", "see below")]),
        "secrets": f"{', '.join(secret[:-1])} and {secret[-1]}",
        "policy": _listed(POLICY_KEYS),
        "limits": _listed(LIMIT_KEYS),
    }
    return Template((files("fastlane.config") / "page.md").read_text("utf-8")).substitute(parts)


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
