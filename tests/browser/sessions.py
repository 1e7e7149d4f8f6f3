"""Sessions at a terminal, recorded as they are typed: ``python -m tests.browser.sessions ENGINE [NAME…]`` (``scripts/pictures``).

Each has a ``fastlane up`` of its own on that engine, in a folder with the files that its commands name. ``tests/browser/recording.py``
draws what appeared; nothing of it is written by hand.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from tests.browser.recording import drawing, record
from tests.support.installation import ROOT, installed
from tests.support.ports import free_port

PICTURES = ROOT / "docs/pictures"
SHOP = """\
services:
  web:
    image: ubuntu:latest
    command: [sleep, infinity]
    deploy: {endpoint_mode: dnsrr}
x-jobs:
  migrate:
    image: ubuntu:latest
    command: [sh, -c, "for n in 1 2 3; do echo table $$n of 3 migrated; sleep 1; done"]
    triggers: {manual: true}
  report:
    image: ubuntu:latest
    command: [ls, -l, /]
    triggers: {schedule: [{cron: "30 6 * * 1", timezone: Europe/Berlin}]}
"""
BACKUP = """\
x-jobs:
  backup:
    image: ubuntu:latest
    command: [sh, -c, "echo 'no space left on /backup' >&2; exit 3"]
    triggers: {schedule: ["0 3 * * *"]}
    x-fastlane: {notify: {fails: [ops@example.com]}}
"""


@dataclass(frozen=True)
class Session:
    """What is typed, and what is there before."""

    commands: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, object] = field(default_factory=dict)
    ends: tuple[str, ...] = ()
    """Commands that remove what the others leave."""


SESSIONS = {
    "run": Session(
        (
            """fastlane run ubuntu -- sh -c 'for n in 1 2 3; do echo photo $n resized; sleep 1; done'""",
            "fastlane run ubuntu -- sh -c 'echo no such photo >&2; exit 3'",
            "echo $?",
            "fastlane schedule --cron '0 3 * * mon-fri' --name nightly ubuntu -- ./backup",
        )
    ),
    "stack": Session(
        (
            "sed -n '/x-jobs/,$p' shop.yaml",
            "docker stack deploy --detach=true -c shop.yaml shop",
            "fastlane apply -f shop.yaml --project shop",
            "fastlane run-now shop/migrate",
            "fastlane logs -f shop/migrate",
            "fastlane jobs shop",
        ),
        {"shop.yaml": SHOP},
        {"networks": "shop_*"},
        ("docker stack rm shop",),
    ),
    "alert": Session(
        (
            "cat backup.yaml",
            "fastlane apply -f backup.yaml --project shop",
            "fastlane run-now shop/backup",
            "sleep 3; cat mails-to-ops",
            "fastlane why shop/backup",
        ),
        {"backup.yaml": BACKUP},
    ),
}


class Mailbox:
    """Keeps the text of each mail in a file, as a mail program shows it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=POLICY)
        assert isinstance(mail, EmailMessage)
        text = mail.get_body(("plain",))
        assert text is not None
        with self._path.open("a") as file:
            file.write(f"To: {mail['To']}\nSubject: {mail['Subject']}\n\n{text.get_content().strip()}\n")
        return "250 OK"


@contextmanager
def mailbox(path: Path) -> Iterator[int]:
    """The port of a mail server that writes into the file."""
    port = free_port()
    server = Controller(Mailbox(path), hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield port
    finally:
        server.stop()


def picture(engine: str, session: Session) -> str:
    """The session as an SVG that moves."""
    with tempfile.TemporaryDirectory(prefix="fl-") as name, mailbox(Path(name) / "mails-to-ops") as port:
        folder = Path(name)
        for file, text in session.files.items():
            (folder / file).write_text(text)
        (folder / "bin").mkdir()
        program = folder / "bin/fastlane"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastlane "$@"\n')
        program.chmod(0o755)
        mail = {"smtp_host": "127.0.0.1", "smtp_port": str(port), "smtp_tls": "none", "smtp_from": "fastlane@example.com"}
        settings = {**mail, "public_url": "https://fastlane.example.com"}
        (folder / "up").mkdir()
        with installed(folder / "up", engine, pool={"policy": session.policy}, with_token=True, **settings) as fastlane:
            fastlane.serve("up")
            fastlane.until_healthy()
            around = {
                **{"FASTLANE_URL": fastlane.url, "FASTLANE_TOKEN": str(fastlane.token), "DOCKER_HOST": engine, "HOME": name},
                **{"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "TZ": "UTC"},
            }
            try:
                return drawing(record(session.commands, around, folder=folder), session.commands)
            finally:
                if session.ends:
                    record(session.ends, around, folder=folder)


def main(engine: str, *names: str) -> None:
    """Records these sessions, or all of them."""
    PICTURES.mkdir(exist_ok=True)
    for name in names or SESSIONS:
        (PICTURES / f"{name}.svg").write_text(picture(engine, SESSIONS[name]))


if __name__ == "__main__":
    main(*sys.argv[1:])
