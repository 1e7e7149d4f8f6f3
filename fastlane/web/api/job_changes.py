"""Which fields of a job a change gave other values: the content of the event ``job.changed``. Secrets are masked before it is stored."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastlane.log import MASK
from fastlane.models.job import Job
from fastlane.models.parameter import Parameter
from fastlane.services.parts import DescribeChange
from fastlane.web.api.job import ATTRIBUTES, DEFINITION
from fastlane.web.api.serializer import RenderContext
from fastlane.web.http.problems import encode_json

MOST = 50
"""Fields that are listed. The rest is counted."""
MAX_VALUE = 200
"""Characters of a value that are kept."""

Difference = tuple[str, Any, Any]
"""A field's dotted path, and its values before and after as answers show them; None where it was absent."""


def change_describer(redact_words: Sequence[str]) -> DescribeChange:
    """Returns a function that describes a change of a job: ``changes``, a list of ``field``, ``from`` and ``to`` as the job's definition
    has them, and ``moreChanges``, how many fields that list leaves out."""
    context = RenderContext("", redact_words)

    def shortened(value: Any, jobs: Sequence[Job]) -> Any:
        """A value without the secrets of these jobs. What is long becomes text that ends with an ellipsis."""
        text = safe = value if isinstance(value, str) else encode_json(value).decode()
        for job in jobs:
            safe = context.redaction.message(safe, job.spec.variables)
        return cut(safe) if len(safe) > MAX_VALUE or safe != text else value

    def masked(path: str, value: Any) -> Any:
        """What answers show of a value; in metadata, where clients have names of their own, a secret name masks it."""
        is_secret = path.startswith("metadata.") and any(map(context.redaction.is_secret, path.split(".")[1:]))
        return MASK if is_secret and value is not None else value

    def describe(before: Job, after: Job) -> Mapping[str, Any]:
        jobs, found = (before, after), list(_differences(before, after, context))
        changes = [
            {"field": cut(path), "from": shortened(masked(path, old), jobs), "to": shortened(masked(path, new), jobs)}
            for path, old, new in found[:MOST]
        ]
        return {"changes": changes, "moreChanges": max(0, len(found) - MOST) or None}

    return describe


def cut(text: str) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _of_parameter(path: str, declared: Sequence[Parameter | None], old: Any, new: Any) -> Iterator[Difference]:
    shown = list(_leaves(path, old, new)) if old != new else []
    yield from shown
    one, other = (None if parameter is None else parameter.default for parameter in declared)
    if None not in declared and one != other and f"{path}.default" not in [where for where, _, _ in shown]:
        yield f"{path}.default", MASK, MASK


def _differences(before: Job, after: Job, context: RenderContext) -> Iterator[Difference]:
    """The fields of the definition that differ. One whose difference is hidden, such as a webhook's header, stands there with masks."""
    shown = DEFINITION.serialize(before, context), DEFINITION.serialize(after, context)
    for name, _ in DEFINITION.flat_fields():
        old, new = (definition.get(name) for definition in shown)
        own, its = (getattr(job.spec, ATTRIBUTES[name], None) if name in ATTRIBUTES else None for job in (before, after))
        if name == "parameters":
            for key in dict.fromkeys((*before.spec.parameters, *after.spec.parameters)):
                yield from _of_parameter(
                    f"{name}.{key}", [job.spec.parameters.get(key) for job in (before, after)], (old or {}).get(key), (new or {}).get(key)
                )
        elif name == "envs":
            yield from (
                (f"{name}.{key}", (old or {}).get(key), (new or {}).get(key))
                for key in dict.fromkeys((*before.spec.envs, *after.spec.envs))
                if before.spec.envs.get(key) != after.spec.envs.get(key)
            )
        elif old != new:
            yield from _leaves(name, old, new)
        elif own != its:
            yield name, MASK, MASK


def _leaves(path: str, old: Any, new: Any) -> Iterator[Difference]:
    """The differing parts of two values that differ: objects are compared name by name, anything else as a whole. An empty list is an
    absent one."""
    if not isinstance(old, Mapping | None) or not isinstance(new, Mapping | None) or (old is None and new is None):
        yield path, old, new
        return
    for key in dict.fromkeys((*(old or {}), *(new or {}))):
        one, other = ((part or {}).get(key) for part in (old, new))
        one, other = None if one == [] else one, None if other == [] else other
        if one != other:
            yield from _leaves(f"{path}.{key}", one, other)
