"""``resources`` in a body: how much of a node a container gets."""

from marshmallow import ValidationError

from fastlane.models.container import options
from fastlane.models.container.container import Resources
from fastlane.web.api.container.fields import SIZE_WORDS, BodyField, BodyObject, size
from fastlane.web.api.json_schema import JsonSchema, integer

_CPUS: JsonSchema = {"type": "number", "minimum": options.LEAST_CPUS, "maximum": options.MAX_CPUS}
_MEMORY = size(options.LEAST_MEMORY)

_RESERVE = BodyObject(
    "reserve",
    cpus=BodyField(options.read_cpus, _CPUS, "Processors; no more than the limit."),
    memory=BodyField(options.read_memory, _MEMORY, f"Memory, {SIZE_WORDS}; no more than the limit."),
)

_RESOURCES = BodyObject(
    "resources",
    cpus=BodyField(options.read_cpus, _CPUS, "The most processors that it gets: 0.5 is half of one."),
    memory=BodyField(options.read_memory, _MEMORY, f"The most memory that it gets, {SIZE_WORDS}; what takes more is killed."),
    pids=BodyField(options.read_pids, integer(1, options.MAX_PIDS), "The most processes and threads."),
    reserve=BodyField(_RESERVE.read, _RESERVE.schema, "What its node must have free, and keeps for it."),
)
RESOURCES: JsonSchema = {
    **_RESOURCES.schema,
    "examples": [{"cpus": 1.5, "memory": "512m", "pids": 200, "reserve": {"memory": "256m"}}],
}


def read_resources(value: object) -> Resources:
    """How much of a node a container gets, and what is reserved for it."""
    given = _RESOURCES.read(value)
    reserve = given.pop("reserve", {})
    above = [name for name in reserve if reserve[name] > given.get(name, reserve[name])]
    if above:
        raise ValidationError({"reserve": {name: [f"is more than resources.{name}; ask for that or less"] for name in above}})
    return Resources(**given, reserve_cpus=reserve.get("cpus"), reserve_memory=reserve.get("memory"))
