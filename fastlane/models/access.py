"""Who may do what: roles, the pattern of tasks that limits each, and what a request needs. Pure rules; nothing here knows a password."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do; each role may all that stands before it."""

    READ = "read"
    RUN = "run"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role is enough where ``needed`` is needed."""
        return _RANK[self] >= _RANK[needed]


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is known: a user or the holder of a token. ``tasks`` is a pattern like a pool's ``match``; empty, it is all tasks."""

    name: str
    role: Role
    tasks: str = ""

    def sees(self, task_id: str) -> bool:
        """Whether a task is among those that this one may read, and write if the role allows it."""
        return re.match(self.tasks, task_id) is not None


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked for something: the name of the user or token (None when the server asks nobody who they are), and the IP address."""

    user: str | None
    address: str | None


def needed_role(method: str, *, of_task: bool) -> Role:
    """The role that a request needs by its method: to read, to write on one task and its jobs, to write on anything else."""
    if method in ("GET", "HEAD"):
        return Role.READ
    return Role.RUN if of_task else Role.ADMIN


def refusal(principal: Principal, needed: Role, task_id: str | None) -> str | None:
    """Why this one may not do what needs that role, on this task if it is about one; None when it may."""
    if not principal.role.covers(needed):
        return f"the role of {principal.name!r} is {principal.role}, and this needs {needed}; whoever runs this server can change that"
    if task_id is not None and not principal.sees(task_id):
        words = f"{principal.name!r} may use the tasks that match {principal.tasks!r}, and {task_id!r} is none of them"
        return f"{words}; whoever runs this server can change that"
    return None
