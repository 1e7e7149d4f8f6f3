"""A mount or a secret in a body: as text, or as an object."""

from dataclasses import replace
from functools import partial

from fastlane.models.container import options
from fastlane.models.container.container import Mount, MountKind, Secret
from fastlane.web.api.container.fields import NO_TEMPLATE, NULL, SIZE_WORDS, BodyField, BodyObject, size, text
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.http.fields import Faults

_PATH = r"(?:/(?!\.{1,2}(?:/|:|$))[^/:\u0000-\u001f\u007f-\u009f]+)+"
_VOLUME = options.VOLUME.pattern
ABSOLUTE_PATH = text(f"{NO_TEMPLATE}(?:/|{_PATH}/?)", options.MAX_PATH)
_TARGET = text(f"{NO_TEMPLATE}{_PATH}/?", options.MAX_PATH)
_MOUNT_TEXT = text(f"{NO_TEMPLATE}(?:/|{_PATH}/?|{_VOLUME}):{_PATH}/?(?::r[ow])?", options.MAX_PATH)


def _read_kind(value: object) -> MountKind:
    if not isinstance(value, str) or value not in set(MountKind):
        raise ValueError(f"is not one of {', '.join(repr(kind.value) for kind in MountKind)}")
    return MountKind(value)


_MOUNT = BodyObject(
    "a mount",
    type=BodyField(
        _read_kind,
        {"enum": [kind.value for kind in MountKind]},
        "bind: a path of the node; volume: a named volume; tmpfs: memory.",
        required=True,
    ),
    source=BodyField(options.read_text, {"type": "string"}),
    target=BodyField(options.read_target, _TARGET, "Where the container finds it.", required=True),
    readOnly=BodyField(options.read_boolean, {"type": "boolean"}, "Whether the container may only read it; false unless given."),
    size=BodyField(partial(options.read_size, least=options.LEAST_TMPFS), size(options.LEAST_TMPFS)),
)


def _mount_schema(kind: MountKind, **fields: BodyField) -> JsonSchema:
    """A mount of this kind: ``_MOUNT`` with these fields instead."""
    return BodyObject("a mount", **{**_MOUNT.fields, "type": replace(_MOUNT.fields["type"], schema={"const": kind.value}), **fields}).schema


_HOST_PATH = BodyField(options.read_path, ABSOLUTE_PATH, "Of a bind: a path of the node. Of a volume: its name.", required=True)
_VOLUME_NAME = BodyField(options.read_volume, text(_VOLUME, 128), "Its name.", required=True)
_NO_SOURCE = replace(_MOUNT.fields["source"], schema=NULL)
_NO_SIZE = replace(_MOUNT.fields["size"], schema=NULL)
MOUNT: JsonSchema = {
    "anyOf": [
        {
            **_MOUNT_TEXT,
            "description": "As for docker run -v: SOURCE:TARGET or SOURCE:TARGET:ro; SOURCE is a node's path or a volume's name.",
        },
        _mount_schema(MountKind.BIND, source=_HOST_PATH, size=_NO_SIZE),
        _mount_schema(MountKind.VOLUME, source=_VOLUME_NAME, size=_NO_SIZE),
        _mount_schema(
            MountKind.TMPFS, source=_NO_SOURCE, size=replace(_MOUNT.fields["size"], about=f"The most that it holds, {SIZE_WORDS}.")
        ),
    ]
}


def read_mount(value: object) -> Mount:
    """Something to mount in a container."""
    if isinstance(value, str):
        return options.read_mount(value)
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "/srv/data:/data:ro" or {"type": "tmpfs", "target": "/tmp"}')
    given = _MOUNT.read(value)
    kind = given["type"]
    faults = Faults()
    source = None
    if kind is MountKind.TMPFS:
        if "source" in given:
            faults.add("source", ["is for a bind or a volume; leave it out of a tmpfs"])
    elif "source" in given:
        source = faults.read("source", (_HOST_PATH if kind is MountKind.BIND else _VOLUME_NAME).read, given["source"])
    else:
        faults.add("source", [f"is missing; name the {'path of the node' if kind is MountKind.BIND else 'volume'}"])
    if kind is not MountKind.TMPFS and "size" in given:
        faults.add("size", ["is for tmpfs; leave it out"])
    faults.raise_if_any()
    return Mount(kind, given["target"], source, given.get("readOnly", False), given.get("size"))


_SECRET = BodyObject(
    "a secret",
    name=BodyField(options.read_secret, text(options.SECRET.pattern, 64), "Its name in the swarm.", required=True),
    target=BodyField(options.read_secret_file, text(options.SECRET_FILE.pattern, 128), "Its file in /run/secrets: its name unless given."),
)
SECRET: JsonSchema = {"anyOf": [_SECRET.fields["name"].schema, _SECRET.schema]}


def read_secret(value: object) -> Secret:
    """A secret of the swarm, to be given to a container."""
    if isinstance(value, str):
        return Secret(options.read_secret(value), value)
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "db-password" or {"name": "db-password", "target": "password"}')
    given = _SECRET.read(value)
    return Secret(given["name"], given.get("target", given["name"]))
