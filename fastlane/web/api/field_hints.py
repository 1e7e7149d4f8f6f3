"""What to do about a name that is a field elsewhere in a job, or that other tools have for the same thing."""

from collections.abc import Mapping

_RESOURCES = ("cpus", "memory", "pids", "reserve")
_CONTAINER = ("user", "workdir", "init", "stopSignal", "stopGrace", "mounts", "networks", "secrets", "constraints", "extraHosts")
_JOB = (
    *("image", "command", "envs", "startIn", "startAt", "cron", "timezone", "overlap", "catchUp", "retries", "retryDelay", "timeout"),
    *("expiration", "expiresIn", "priority", "concurrency", "resources", "container", "metadata"),
)

HINTS: Mapping[str, str] = {
    **{name.lower(): f"resources.{name}" for name in _RESOURCES},
    **{name.lower(): f"container.{name}" for name in _CONTAINER},
    **{name.lower(): f"{name}, a field of the job itself" for name in _JOB},
    "args": "command",
    "backoff": "retryDelay",
    "cpu": "resources.cpus",
    "delay": "startIn",
    "entrypoint": "command, which the image's own entrypoint gets",
    "environment": "envs",
    "every": "cron",
    "interval": "cron",
    "history": "retention",
    "keep": "retention",
    "limits": "resources",
    "mem": "resources.memory",
    "parallelism": "concurrency",
    "schedule": "cron",
    "ttl": "expiresIn",
    "tz": "timezone",
    "volumes": "container.mounts",
}
"""By the name in small letters. An object knows its own fields before it looks here."""
