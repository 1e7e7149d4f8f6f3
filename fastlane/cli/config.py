"""The commands ``fastlane config``, which shows the settings as a table, as JSON or as a page of the docs, ``password`` and ``token``."""

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import zip_longest
from string import Template
from typing import Any

import click

from fastlane.cli.client.command import with_options
from fastlane.cli.common import CONFIG, DATA_DIR, load_or_exit, say
from fastlane.config.access import hash_password, hash_token, make_token
from fastlane.config.legacy import LEGACY_NAMES, PASSWORD, USER, USERNAME
from fastlane.config.load import LoadedSettings
from fastlane.config.pools import LIMIT_KEYS, POLICY_KEYS, POOL_KEYS
from fastlane.config.settings import SETTINGS, Setting
from fastlane.config.types import Role


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


@click.command("config")
@with_options(CONFIG, DATA_DIR)
@click.option("--for", "role", type=click.Choice(["up", "api", "worker"]), default="up", help="Show the defaults of this command (up).")
@click.option("--json", "as_json", is_flag=True, help="Write JSON; durations are seconds, sizes bytes.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Write the page docs/configuration.md instead of the values.")
def show_config(config: str | None, role: Role, as_json: bool, as_markdown: bool, **options: str | None) -> None:
    """Shows every setting: its name, value, source, default and meaning. Passwords are hidden.

    \b
    Examples:
      fastlane config
      FASTLANE_REDIS_URL=redis://queue:6379/0 fastlane config --for worker --json
    """
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    loaded = load_or_exit(role, config, options)
    for deprecation in loaded.deprecations:
        say(str(deprecation))
    click.echo(_as_json(loaded) if as_json else _as_table(loaded))


def _shown(setting: Setting, value: object) -> str:
    return "none" if value is None or value == () else setting.type.show(value)


def _as_table(loaded: LoadedSettings) -> str:
    rows = [("NAME", "VALUE", "FROM", "DEFAULT", "MEANING")]
    for setting in SETTINGS:
        value = _shown(setting, getattr(loaded.settings, setting.name))
        rows.append((setting.name, value, loaded.origins[setting.name], setting.default, setting.meaning))
    return _aligned(rows, (20, 40, 30, 26, 50))


def _aligned(rows: Sequence[Sequence[str]], limits: Sequence[int]) -> str:
    """Columns of text; a cell that is wider than its column continues on the next line."""
    widths = [min(most, max(len(row[place]) for row in rows)) for place, most in enumerate(limits)]
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _as_json(loaded: LoadedSettings) -> str:
    def plain(setting: Setting, value: Any) -> object:
        if setting.type.tables:
            return json.loads(setting.type.show(value))
        is_plain = value is None or isinstance(value, str | int | float | tuple)
        return value if is_plain and not (setting.secret and value) else setting.type.show(value)

    rows = {
        setting.name: {
            "value": plain(setting, getattr(loaded.settings, setting.name)),
            "from": loaded.origins[setting.name],
            "default": setting.default,
            "meaning": setting.meaning,
        }
        for setting in SETTINGS
    }
    return json.dumps(rows, indent=2, ensure_ascii=False)


@click.command()
def password() -> None:
    """Prints the hash of a password for the settings. Asks for the password twice, or reads it from standard input.

    \b
    Examples:
      fastlane password
      printf %s "$PASSWORD" | fastlane password

    \b
    Put the hash into fastlane.toml:
      [[users]]
      name = "anna"
      password = "scrypt:15:8:3:…"
      role = "run"
    """
    if sys.stdin.isatty():
        text = click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True)
    else:
        text = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text or "\ufffd" in text:
        say("that is not a password; give one line of UTF-8 text")
        sys.exit(2)
    click.echo(hash_password(text))


@click.command()
def token() -> None:
    """Makes a bearer token. Prints the token, which is shown only once, and its hash for the settings.

    \b
    Example:
      fastlane token

    \b
    Put the hash into fastlane.toml, and give the token to its user (curl -H "Authorization: Bearer TOKEN"):
      [[tokens]]
      name = "ci"
      token = "sha256:…"
      role = "run"
    """
    made = make_token()
    click.echo(f"token: {made}\nhash:  {hash_token(made)}")
