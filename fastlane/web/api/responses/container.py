"""``resources`` and ``container`` of a job, in a form that can be sent again."""

from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, Container, Mount, MountKind, Resources, Secret
from fastlane.models.schedule import show_duration
from fastlane.web.api.serializer import Serializer, array, boolean, enum, integer, mapping, nested, number, string, strings


def asked_resources(resources: Resources) -> Resources | None:
    """None when the job asks for nothing."""
    return None if resources == NO_RESOURCES else resources


def asked_container(container: Container) -> Container | None:
    """None when the job asks for nothing."""
    return None if container == NO_CONTAINER else container


def _grace(container: Container) -> str | None:
    return None if container.stop_grace is None else show_duration(container.stop_grace / 1000)


RESERVED = Serializer[Resources](
    "Reserved",
    "What its node keeps free for a container.",
    cpus=number(lambda resources: resources.reserve_cpus, "Processors; 0.5 is half of one."),
    memory=integer(lambda resources: resources.reserve_memory, "Bytes.", null=True),
)

RESOURCES = Serializer[Resources](
    "ResourcesAsked",
    "How much of a node a container gets; null: as much as its pool allows.",
    cpus=number(lambda resources: resources.cpus, "Processors; 0.5 is half of one."),
    memory=integer(lambda resources: resources.memory, "Bytes.", null=True),
    pids=integer(lambda resources: resources.pids, "Processes and threads.", null=True),
    reserve=nested(RESERVED, lambda resources: resources),
)

MOUNT = Serializer[Mount](
    "Mounted",
    "Something mounted in a container.",
    type=enum(MountKind, lambda mount: mount.kind, "What is mounted: a path of the node, a named volume, or memory."),
    source=string(lambda mount: mount.source, "The node's path or the volume's name; null: memory.", null=True),
    target=string(lambda mount: mount.target, "Where the container finds it."),
    readOnly=boolean(lambda mount: mount.read_only, "Whether the container may only read it."),
    size=integer(lambda mount: mount.size, "Bytes, of memory.", null=True),
)

SECRET = Serializer[Secret](
    "SecretGiven",
    "A secret of the swarm that a container is given.",
    name=string(lambda secret: secret.name, "The secret's name in the swarm."),
    target=string(lambda secret: secret.target, "Its file in /run/secrets."),
)

CONTAINER = Serializer[Container](
    "ContainerAsked",
    "How a container is set up; null: as the image and the engine have it.",
    user=string(lambda container: container.user, "User, and perhaps group.", null=True),
    workdir=string(lambda container: container.workdir, "Where the command starts.", null=True),
    init=boolean(lambda container: container.init, "Whether an init process goes in front.", null=True),
    stopSignal=string(lambda container: container.stop_signal, "What asks it to end.", null=True),
    stopGrace=string(_grace, "How long it has then.", null=True, examples=["30s"]),
    mounts=array(MOUNT, lambda container: container.mounts, "What is mounted in it."),
    networks=strings(lambda container: container.networks, "By name; host: the node's own."),
    secrets=array(SECRET, lambda container: container.secrets, "Each a file."),
    constraints=strings(lambda container: container.constraints, "Which nodes may have it."),
    extraHosts=mapping(lambda container: container.extra_hosts, "IP addresses by host name.", values={"type": "string"}),
)
