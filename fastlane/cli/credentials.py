"""The commands that make credentials for the settings: ``fastlane password`` and ``fastlane token``."""

import sys

import click

from fastlane.cli.common import say
from fastlane.config.credentials import hash_password, hash_token, make_token


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
