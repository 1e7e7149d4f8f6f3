"""The server's advice in the words of the command line: it names routes and queries, and people here type commands and options."""

import re

WORDS = {
    r"; a POST of a job to it makes it": "; `fastlane run --task` and `fastlane schedule --task` make it",
    r"; a PUT gives it a schedule(?! again)": "; `fastlane edit` gives it one",
    r"a PUT gives it a schedule again|a POST to its start starts its schedule again": "`fastlane start` starts its schedule again",
    r"send a PUT with a later one": "give it a later one with `fastlane set JOB expiration=TIME`",
    r"send a PUT$": "give it another cron or timezone too, with `fastlane edit`",
    r"or PATCH other fields, which keeps it as it is": "or change other fields only, which keeps it as it is",
    r"GET it again, and make your change to what it is now": "look at it again, and make your change to what it is now",
    r"GET its deliveries": "`fastlane deliveries` lists them",
    r"; PUT /calendars/(\S+) makes it": r"; `fastlane calendars put \1` makes it",
    r"or add \?force=1": "or use --force",
    r"add \?force=1": "use --force",
    r"or add \?stop=1": "or use --stop",
    r"and POST /pools/reload": "and run `fastlane reload`",
    r"POST \{\"host\": [^}]*\} to /docker-executor/blacklist": "drain it with `fastlane hosts drain`",
    r"POST /dispatch/resume goes on": "`fastlane dispatch resume` goes on",
    r"then POST /dispatch/resume": "then run `fastlane dispatch resume`",
    r"register one with POST /hosts": "register one with `fastlane hosts add`",
    r"DELETE /hosts/(\S+)\?force=1": r"run `fastlane hosts rm --force \1`",
    r"GET /pools shows": "`fastlane pools` shows",
    r"send the one that the GET had: ": "",
    r"GET …/receipts/check says": "`fastlane verify TASK` says",
    r"use run to run it now": "run it with `fastlane run-now`",
    r"\(use run\)|use run\b(?! to)": "use `fastlane run-now`",
}
"""Each pattern in the server's texts, and the words of the command line in its place."""


def in_commands(text: str) -> str:
    """The text with what to do next as commands and options of fastlane."""
    for pattern, words in WORDS.items():
        text = re.sub(pattern, words, text)
    return text
