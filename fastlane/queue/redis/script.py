"""A Lua script as Redis knows it: its text, and the digest by which it is called."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

NAMES = (
    "put",
    "adopt",
    "claim",
    "renew",
    "release",
    "requeue",
    "cancel",
    "finish",
    "pause",
    "restore",
    "wipe",
    "set_generation",
    "audit",
    "remember_store",
    "counts",
    "oldest",
    "lane_of",
    "members",
    "announce",
    "reports",
)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the folder ``scripts`` with ``entries.lua`` in front: its text, and the digest by which Redis knows it."""

    name: str
    text: str
    digest: str

    @classmethod
    def read(cls, name: str) -> "Script":
        """Reads the script of that name; raises FileNotFoundError when the package lacks it."""
        folder = files("fastlane.queue.redis").joinpath("scripts")
        text = folder.joinpath("entries.lua").read_text("utf-8") + folder.joinpath(f"{name}.lua").read_text("utf-8")
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
