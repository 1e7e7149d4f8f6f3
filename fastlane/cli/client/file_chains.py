"""The chains within a file of jobs: names in ``after`` that mean other jobs of the file become their ids, in whichever order the file has
them, and upstream jobs come first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastlane.cli.client.job_file import WantedJob


def ordered(jobs: Sequence[WantedJob]) -> tuple[list[WantedJob], list[str]]:
    """The jobs, those before others first, and a line for each job that is part of a circle. A job that ``after`` names and that is not in
    the file is left to the server."""
    by_id = {job.id: _with_ids(job, jobs) for job in jobs}
    found: list[WantedJob] = []
    left = dict(by_id)
    while left:
        ready = [id for id, job in left.items() if not any(one in left and one != id for one in after_of(job.fields))]
        ready = [id for id in ready if id not in after_of(left[id].fields)]
        if not ready:
            words = "closes a circle within the file; leave out one of the links"
            circle = [job for id, job in left.items() if any(id in after_of(other.fields) for other in left.values())]
            return [*found, *left.values()], [f"{job.place('after')}: {words}" for job in circle]
        found += [left.pop(id) for id in ready]
    return found, []


def after_of(fields: Mapping[str, Any]) -> list[str]:
    """What ``after`` names; what cannot be read is left to the server."""
    given = fields.get("after")
    return [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)]


def _with_ids(job: WantedJob, jobs: Sequence[WantedJob]) -> WantedJob:
    given = job.fields.get("after")
    if not after_of(job.fields):
        return job
    known = {f"{one.task}/{name}": one.id for one in jobs for name in (one.fields.get("name"), one.key)}

    def id_of(name: Any) -> Any:
        return known.get(name, known.get(f"{job.task}/{name}", name)) if isinstance(name, str) else name

    after = list(map(id_of, given)) if isinstance(given, list) else id_of(given)
    return replace(job, fields={**job.fields, "after": after})


def without(fields: Mapping[str, Any], missing: set[str]) -> Mapping[str, Any]:
    """The fields as the server can check them before it has these jobs."""
    left = [one for one in after_of(fields) if one not in missing]
    if len(left) == len(after_of(fields)):
        return fields
    if left:
        return {**fields, "after": left}
    return {**{name: value for name, value in fields.items() if name not in ("after", "afterOn")}, "manual": True}


def completed(schedule: Mapping[str, Any], fields: Mapping[str, Any], missing: set[str]) -> dict[str, Any]:
    """The schedule that the server showed for ``without``, with these jobs."""
    names, shown = after_of(fields), iter(schedule.get("after") or ())
    if not any(one in missing for one in names):
        return dict(schedule)
    return {**schedule, "after": [one if one in missing else next(shown) for one in names], "afterOn": fields.get("afterOn") or "succeeds"}
