"""``resources`` and ``container`` in answers as schemas, for the OpenAPI document; ``containers`` makes them."""

from marshmallow import Schema, fields

from fastlane.models.container.container import MountKind
from fastlane.web.api.response_fields import many, one, table, text, texts, whole, word, yes


def _processors() -> fields.Float:
    return fields.Float(required=True, allow_none=True, metadata={"description": "Processors; 0.5 is half of one.", "minimum": 0})


class Reserved(Schema):
    """What its node keeps free for a container."""

    cpus = _processors()
    memory = whole("Bytes.", null=True)


class ResourcesAsked(Schema):
    """How much of a node a container gets; null: as much as its pool allows."""

    cpus = _processors()
    memory = whole("Bytes.", null=True)
    pids = whole("Processes and threads.", null=True)
    reserve = one(Reserved)


class Mounted(Schema):
    """Something mounted in a container."""

    type = word(MountKind)
    source = text("The node's path or the volume's name; null: memory.", null=True)
    target = text("Where the container finds it.")
    readOnly = yes()
    size = whole("Bytes, of memory.", null=True)


class SecretGiven(Schema):
    """A secret of the swarm that a container is given."""

    name = text()
    target = text("Its file in /run/secrets.")


class ContainerAsked(Schema):
    """How a container is set up; null: as the image and the engine have it."""

    user = text("User, and perhaps group.", null=True)
    workdir = text("Where the command starts.", null=True)
    init = fields.Boolean(required=True, allow_none=True, metadata={"description": "Whether an init process goes in front."})
    stopSignal = text("What asks it to end.", null=True)
    stopGrace = text("How long it has then.", null=True, examples=["30s"])
    mounts = many(Mounted, "What is mounted in it.")
    networks = texts("By name; host: the node's own.")
    secrets = many(SecretGiven, "Each a file.")
    constraints = texts("Which nodes may have it.")
    extraHosts = table(fields.String(), "IP addresses by the names of hosts.")
