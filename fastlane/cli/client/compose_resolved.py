"""What ``docker compose config`` makes of a compose file: ``include`` and, below jobs, ``extends``. Docker knows how it merges them."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from fastlane.cli.client.yaml_text import FileFault, StrictLoader, read_yaml

CONFIG_SECONDS = 60
RESOLVE = "install Docker Compose, or copy what it names into this file"
THE_FILE = "apply the file itself: fastlane apply -f FILE"
"""What to do where the text on standard input is not enough."""
AS_WRITTEN = ("--no-interpolate", "--no-normalize", "--no-consistency")
"""Options by which nothing is filled in or left out."""
SERVICES_ALONE = (
    *("ports", "expose", "restart", "healthcheck", "scale", "container_name"),
    *("depends_on", "build", "tty", "stdin_open"),
)
"""What a job does not take over from a service that it extends: it is of what runs for long, or there once."""
OF_DEPLOY = {"resources": None, "placement": ("constraints",)}
"""What a job takes over of its ``deploy``, and of the parts of it."""
OF_JOBS = ("triggers", "timeout", "profiles")
"""What a job has beside the attributes of a service."""
ALONGSIDE = ("volumes", "networks", "secrets", "configs")


def included(path: Path, project: str) -> dict[str, Any]:
    """A file with what it includes, with the jobs of all profiles: those that are inactive are left out later. Docker leaves out what no
    service uses; volumes and the like that only jobs use are there as the files have them. Raises FileFault."""
    source = ["-f", str(path)]
    resolved, written = _config("include", source, project, ""), _config("include", source, project, "", *AS_WRITTEN)
    return {**resolved, **{kind: {**_map(written.get(kind)), **_map(resolved.get(kind))} for kind in ALONGSIDE}}


def extended(content: Mapping[str, Any], roots: Iterable[str], folder: Path | None, project: str) -> dict[str, Any]:
    """The content in which each job that ``extends`` a service has the service's attributes. ``folder``: by which relative paths go; None
    on standard input. Raises FileFault."""
    jobs = {(root, str(key)): raw for root in roots for key, raw in _map(content.get(root)).items() if isinstance(raw, dict)}
    if not any("extends" in raw for raw in jobs.values()):
        return dict(content)
    if folder is None:
        raise FileFault(f"extends: is not resolved on standard input; {THE_FILE}")
    services = {**_map(content.get("services")), **{key: _split(raw)[0] for (_, key), raw in jobs.items()}}
    text = yaml.safe_dump({"services": services, **{name: content[name] for name in ALONGSIDE if content.get(name)}})
    resolved = _map(_config("extends", ["--project-directory", str(folder), "-f", "-"], project, text, *AS_WRITTEN).get("services"))
    changed = {root: dict(_map(content.get(root))) for root in roots if root in content}
    for (root, key), raw in jobs.items():
        if "extends" in raw:
            inherited = {name: value for name, value in _map(resolved.get(key)).items() if name in raw or name not in SERVICES_ALONE}
            if "deploy" in inherited:
                inherited["deploy"] = _deploy(_map(inherited["deploy"]), _map(raw.get("deploy")))
            changed[root][key] = {**inherited, **_split(raw)[1]}
    return {**content, **changed}


def _deploy(merged: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a job has below ``deploy``: of its own all, faults as well, and of the service what counts for one run."""
    parts = {}
    for name, value in merged.items():
        kept = OF_DEPLOY.get(name, ())
        mine = _map(own.get(name))
        if (name in own and not mine) or kept is None:
            parts[name] = value
        elif found := {part: one for part, one in _map(value).items() if part in kept or part in mine}:
            parts[name] = found
    return parts


def _split(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes that a service may have, and the ones of jobs alone."""
    own = {name for name in raw if name in OF_JOBS or str(name).startswith("x-")}
    return {name: raw[name] for name in raw if name not in own}, {name: raw[name] for name in own}


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _config(what: str, source: list[str], project: str, text: str, *options: str) -> dict[str, Any]:
    command = ["docker", "compose", "--profile", "*", "-p", project, *source, "config", "--no-path-resolution", *options]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=CONFIG_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise FileFault(f"{what}: needs `docker compose`, which cannot be run here ({error}); {RESOLVE}") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        raise FileFault(f"{what}: needs `docker compose`, which refuses the file or is not here ({said}); {RESOLVE}")
    content = read_yaml(done.stdout, StrictLoader).content
    if not isinstance(content, dict):
        raise FileFault(f"{what}: `docker compose config` has written no map; {RESOLVE}")
    return content
