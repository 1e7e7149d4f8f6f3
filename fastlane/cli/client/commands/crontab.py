"""The command ``fastlane import-crontab``: writes a file for ``fastlane apply`` from a crontab."""

import re
from typing import Any

import click

from fastlane.cli.client.command import say

ASSIGNMENT = re.compile(r"""\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$""")
SCHEDULE = re.compile(r"\s*(@[A-Za-z]+|(?:\S+\s+){4}\S+)\s+(.*)$")
OF_CRON = ("MAILTO", "MAILFROM", "LOGNAME", "HOME", "PATH", "USER", "RANDOM_DELAY", "START_HOURS_RANGE")
"""Variables that say something to cron, or about its machine."""
UNESCAPED = re.compile(r"(?<!\\)%")


@click.command("import-crontab")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--image", required=True, help="The image in which the commands run.")
@click.option("--set", "set_name", default="crontab", show_default=True, help="The name of the set.")
@click.option("--task", help="The task of all jobs; the set's name unless given.")
@click.option("--timezone", metavar="ZONE", help="The zone of the machine that had the crontab; CRON_TZ in it goes first.")
@click.option("--system", is_flag=True, help="Lines have a user after the schedule, as in /etc/crontab. It is left out.")
def import_crontab(file: Any, image: str, set_name: str, task: str | None, timezone: str | None, system: bool) -> None:
    """Writes a file for `fastlane apply` from a crontab. What cannot be carried over is said on stderr, and left out.

    \b
    Examples:
      crontab -l | fastlane import-crontab --image ubuntu - > jobs.yaml
      fastlane import-crontab --image ubuntu --system /etc/crontab
    """
    import yaml

    jobs = jobs_of(file.read(), system)
    defaults = {"image": image, "task": task or set_name, **({"timezone": timezone} if timezone else {})}
    content = {"set": set_name, "defaults": defaults, "jobs": jobs}
    click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100), nl=False)


def jobs_of(text: str, system: bool) -> dict[str, dict[str, Any]]:
    """The jobs of a crontab by name."""
    jobs: dict[str, dict[str, Any]] = {}
    envs: dict[str, str] = {}
    shell, timezone = "/bin/sh", None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if (assigned := ASSIGNMENT.match(line)) and not SCHEDULE.fullmatch(line.split("=")[0]):
            name, value = assigned[1], assigned[2].strip("\"'")
            if name == "SHELL":
                shell = value
            elif name in ("CRON_TZ", "TZ"):
                timezone = value
            elif name in OF_CRON:
                say(f"line {number}: {name} is left out; it is about cron's machine")
            else:
                envs = {**envs, name: value}
            continue
        found = SCHEDULE.match(line)
        if found is None:
            say(f"line {number}: is not a line of a crontab; it is left out")
            continue
        cron, command = found[1], found[2]
        if system:
            command = command.partition(" ")[2] if " " in command else command.partition("\t")[2]
        if (fault := _fault(cron, command)) is not None:
            say(f"line {number}: {fault}; it is left out")
            continue
        command = command.replace("\\%", "%").strip()
        job: dict[str, Any] = {"cron": " ".join(cron.split()), "command": [shell, "-c", _escaped(command)]}
        job |= {"envs": {name: _escaped(value) for name, value in envs.items()}} if envs else {}
        job |= {"timezone": timezone} if timezone else {}
        jobs[_name(command, jobs)] = job
    return jobs


def _fault(cron: str, command: str) -> str | None:
    if cron == "@reboot":
        return "@reboot has no counterpart"
    if UNESCAPED.search(command):
        return "it gives the command an input by %; put that into a script"
    return None if command.strip() else "it has no command"


def _escaped(text: str) -> str:
    """The text so that the file's own variables are not replaced in it."""
    return text.replace("${", "$${")


def _name(command: str, taken: dict[str, Any]) -> str:
    """A name from the program's name, with a number where it is taken."""
    first = re.split(r"[\s;&|]", command)[0].rpartition("/")[2]
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", first).strip("-.") or "job"
    numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
    return base if base not in taken else next(name for name in numbered if name not in taken)
