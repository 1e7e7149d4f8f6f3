"""The jobs of Ofelia, from its file or from labels in a compose file, as the jobs of a file for ``fastlane apply``. Pure."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastlane.cli.client.yaml_text import FileFault, StrictLoader, read_yaml

SECTION = re.compile(r'\[\s*([\w-]+)(?:\s+"?([^"\]]*)"?)?\s*\]')
LABEL = re.compile(r"ofelia\.(job-[a-z-]+)\.([^.]+)\.(.+)")
GLOBAL_LABEL = re.compile(r"ofelia\.([\w-]+)")
SEVERAL = ("volume", "environment", "env")
OF_DOCKER = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*))")
"""In a compose file: a dollar sign, and a variable without braces."""
FIELDS = 5
WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
EVERY = re.compile(r"@every\s+(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.IGNORECASE)
BY_HAND = ("@triggered", "@manual", "@none")
ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")
NO_EFFECT = ("tty", "delete", "restart-policy")
"""Keys that say how Ofelia runs something, and that change nothing here."""


@dataclass(frozen=True, slots=True)
class OfeliaJob:
    """A job as Ofelia knows it: its kind (``job-run``), its name, and the values of its keys, in lower case. ``place``: where it is.
    ``image``: of the service that has its labels."""

    kind: str
    name: str
    place: str
    keys: dict[str, list[str]] = field(default_factory=dict)
    image: str | None = None

    def get(self, *names: str) -> str | None:
        """The last value of the first of these keys that there is."""
        return next((self.keys[name][-1] for name in names if self.keys.get(name)), None)


@dataclass(frozen=True, slots=True)
class Ofelia:
    """What a file has: the jobs, and the keys that are for all of them."""

    jobs: tuple[OfeliaJob, ...]
    common: OfeliaJob


def read_ofelia(text: str) -> Ofelia:
    """Reads Ofelia's file, or a compose file with Ofelia's labels. Raises FileFault."""
    if any(SECTION.match(line.strip()) for line in text.splitlines()):
        return _from_ini(text)
    content = read_yaml(text, StrictLoader).content
    if not isinstance(content, dict) or not isinstance(content.get("services"), dict):
        raise FileFault('is neither Ofelia\'s file, with sections such as [job-run "nightly"], nor a compose file with services')
    return _from_labels(content["services"])


def _from_ini(text: str) -> Ofelia:
    jobs: list[OfeliaJob] = []
    common = OfeliaJob("global", "", "[global]")
    current: OfeliaJob = common
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line[0] in ";#":
            continue
        if section := SECTION.fullmatch(line):
            kind, name = section[1].lower(), (section[2] or "").strip()
            current = common if kind == "global" else OfeliaJob(kind, name, f'[{kind} "{name}"]')
            jobs += [] if kind == "global" else [current]
        elif "=" in line:
            key, _, value = line.partition("=")
            current.keys.setdefault(key.strip().lower(), []).append(_escaped(_unquoted(value.strip())))
        else:
            raise FileFault(f"line {number}: is neither [SECTION] nor KEY = VALUE")
    return Ofelia(tuple(jobs), common)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _from_labels(services: Mapping[str, Any]) -> Ofelia:
    jobs: dict[tuple[str, str, str], OfeliaJob] = {}
    common = OfeliaJob("global", "", "labels")
    for service, given in services.items():
        if not isinstance(given, dict):
            continue
        image = None if given.get("image") is None else _of_docker(str(given["image"]))
        for name, value in _labels(given):
            if found := LABEL.fullmatch(name):
                kind, job, key = found[1], found[2], found[3].lower()
                place = f"services.{service}: {kind} {job!r}"
                one = jobs.setdefault((str(service), kind, job), OfeliaJob(kind, job, place, image=image))
                one.keys[key] = _several(value) if key in SEVERAL else [value]
            elif found := GLOBAL_LABEL.fullmatch(name):
                common.keys[found[1].lower()] = [value]
    return Ofelia(tuple(jobs.values()), common)


def _labels(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    deploy = service.get("deploy")
    for labels in (service.get("labels"), deploy.get("labels") if isinstance(deploy, dict) else None):
        if isinstance(labels, dict):
            yield from ((str(name), _of_docker(str(value))) for name, value in labels.items())
        elif isinstance(labels, list):
            yield from ((str(one).partition("=")[0], _of_docker(str(one).partition("=")[2])) for one in labels)


def _of_docker(text: str) -> str:
    """A text of a compose file as a file of schedules has it: its variables stay, and ``$$`` is a dollar sign. Only ``$${`` stands for
    itself in both."""
    return OF_DOCKER.sub(lambda found: f"${{{found[2]}}}" if found[2] else "$$" if text.startswith("{", found.end()) else "$", text)


def _several(text: str) -> list[str]:
    """The texts of a list in JSON, as labels have it, or the one text."""
    try:
        found = json.loads(text)
    except ValueError:
        return [text]
    return [str(one) for one in found] if isinstance(found, list) else [text]


class NotCarriedOver(Exception):
    """A job that cannot be carried over; the text says why."""


def jobs_of_ofelia(ofelia: Ofelia, image: str | None, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """The jobs by name, as a file for ``fastlane apply`` has them. ``image``: for jobs that have none of their own. ``say``: is called with
    what is left out, or means something else here."""
    jobs: dict[str, dict[str, Any]] = {}
    common = _notified(ofelia.common, say)
    for one in ofelia.jobs:
        try:
            fields = _fields(one, image, say) | ({"notify": common} if common else {})
        except NotCarriedOver as error:
            say(f"{one.place}: {error}; it is left out")
            continue
        own = _notified(one, say)
        numbered = (f"{one.name}-{number}" for number in range(2, len(jobs) + 3))
        name = one.name if one.name not in jobs else next(name for name in numbered if name not in jobs)
        jobs[name] = fields | ({"notify": own} if own else {})
        say(f"{one.place}: is the job {name!r}")
    return jobs


def _fields(one: OfeliaJob, image: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    fields: dict[str, Any] = {"image": _image(one, image, say), **_schedule(one, say)}
    if command := one.get("command"):
        fields["command"] = command
    container: dict[str, Any] = {}
    if user := one.get("user"):
        container["user"] = user
    if workdir := one.get("working-dir", "workdir", "dir"):
        container["workdir"] = workdir
    if network := one.get("network"):
        container["networks"] = [network]
    if mounts := _mounts(one, say):
        container["mounts"] = mounts
    envs = dict(text.partition("=")[::2] for name in ("environment", "env") for text in one.keys.get(name, ()))
    fields |= {"envs": envs} if envs else {}
    fields |= {"container": container} if container else {}
    if (one.get("no-overlap") or "").lower() == "true":
        fields["overlap"] = "skip"
    if longest := one.get("max-runtime"):
        fields["timeout"] = longest
    for key in one.keys:
        if key not in KNOWN and not key.startswith(("smtp-", "email-", "mail-")):
            say(f"{one.place}: {key} has no counterpart, and is left out")
    return fields


KNOWN = frozenset({
    "schedule", "command", "image", "container", "user", "working-dir", "workdir", "dir", "network", "volume", "environment", "env",
    "no-overlap", "max-runtime", *NO_EFFECT,
})  # fmt: skip


def _image(one: OfeliaJob, given: str | None, say: Callable[[str], None]) -> str:
    own = one.get("image")
    if one.kind in ("job-run", "job-service-run"):
        if own:
            return own
        raise NotCarriedOver(
            f"it starts the container {one.get('container') or ''!r} again; a job here has a new one each time: give it an image"
        )
    if one.kind == "job-exec":
        used = one.image or given
        where = repr(one.get("container")) if one.get("container") else "its service"
        if used is None:
            raise NotCarriedOver(f"it runs inside of {where}, and a job here has a container of its own; name that image with --image")
        say(f"{one.place}: ran inside of {where}; here it runs in a new container of {used}, without the files and variables of that one")
        return used
    if one.kind == "job-local":
        if given is None:
            raise NotCarriedOver("it runs on the machine of Ofelia itself, and a job here runs in a container; name an image with --image")
        say(f"{one.place}: ran on Ofelia's machine; here it runs in a container of {given}")
        return given
    raise NotCarriedOver(f"{one.kind} has no counterpart")


def _mounts(one: OfeliaJob, say: Callable[[str], None]) -> list[str]:
    found = []
    for text in one.keys.get("volume", ()):
        source = text.partition(":")[0]
        if source.startswith((".", "~")):
            say(f"{one.place}: the volume {text} is left out; the nodes of a swarm have no such path")
        else:
            found.append(text)
            if source.startswith("/"):
                say(f"{one.place}: {source} is now the path of the node on which the job runs")
    return found


def _schedule(one: OfeliaJob, say: Callable[[str], None]) -> dict[str, Any]:
    text = " ".join((one.get("schedule") or "").split())
    if not text:
        raise NotCarriedOver("it has no schedule")
    if text.lower() in BY_HAND:
        return {"manual": True}
    zone = ZONE.fullmatch(text)
    text = zone[2] if zone else text
    more = {"timezone": zone[1]} if zone else {}
    if every := EVERY.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in every.groups())
        total = hours * 3600 + minutes * 60 + seconds
        if not total or total % 60:
            raise NotCarriedOver(f"{text!r} is not an interval of whole minutes")
        say(f"{one.place}: {text!r} counted from the start of Ofelia, and counts from when the job is made")
        return {"cron": text, **more}
    if text.startswith("@") and text.lower() not in WORDS:
        what = "is not an interval of whole hours, minutes and seconds" if text.lower().startswith("@every") else "has no counterpart"
        raise NotCarriedOver(f"{text!r} {what}")
    fields = text.split(" ")
    if len(fields) == 6:
        if fields[0] not in ("0", "00"):
            raise NotCarriedOver(f"{text!r} has seconds; the shortest interval of a cron is a minute")
        fields = fields[1:]
    if len(fields) != FIELDS and not text.startswith("@") and "${" not in text:
        raise NotCarriedOver(f"{text!r} has not the five fields of a cron")
    return {"cron": " ".join(fields).replace("?", "*"), **more}


def _notified(one: OfeliaJob, say: Callable[[str], None]) -> dict[str, list[str]]:
    """Who gets a mail about what."""
    for key, words in REPORTS.items():
        if one.get(key):
            say(f"{one.place}: {key} is left out; {words}")
    addresses = [text.strip() for text in (one.get("email-to") or "").split(",") if text.strip()]
    if not addresses:
        return {}
    only_fails = (one.get("mail-only-on-error") or "").lower() == "true"
    return {"fails" if only_fails else "finishes": addresses}


REPORTS = {
    "slack-webhook": "webhooks of a job post to any URL",
    "save-folder": "the log of each run is kept with it",
}


def _escaped(text: str) -> str:
    """The text so that the file's own variables are not replaced in it."""
    return text.replace("${", "$${")
