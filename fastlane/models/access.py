"""Authorization: roles, the tasks that a principal may use, and the role that a request needs. Pure rules, without passwords."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a principal may do; each role includes those before it."""

    READ = "read"
    TRIGGER = "trigger"
    """Run and stop jobs that are there, with the parameters that they declare."""
    RUN = "run"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role includes ``needed``."""
        return _RANK[self] >= _RANK[needed]


_RANK = {role: rank for rank, role in enumerate(Role)}


def may_see(visible: str | None, task_id: str) -> bool:
    """Whether a caller may see this task. ``visible``: the pattern of the tasks that it may see, like a pool's ``match``; None: all."""
    return visible is None or re.match(visible, task_id) is not None


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, or the holder of a token. ``tasks`` is a pattern like a pool's ``match``; an empty one matches all tasks."""

    name: str
    role: Role
    tasks: str = ""

    def sees(self, task_id: str) -> bool:
        """Whether the principal may see this task, and change it if its role allows that."""
        return may_see(self.tasks, task_id)


@dataclass(frozen=True, slots=True)
class Requester:
    """Where a request came from: the name of the user or token (None on a server without authentication), the IP address, and its place in
    a trace, as a ``traceparent``."""

    user: str | None
    address: str | None
    trace: str | None = None


def needed_role(method: str, *, of_task: bool) -> Role:
    """The role that a request needs: ``read`` to read, ``run`` to change one task and its jobs, ``admin`` to change anything else."""
    if method in ("GET", "HEAD"):
        return Role.READ
    return Role.RUN if of_task else Role.ADMIN


def refusal(principal: Principal, needed: Role, task_id: str | None) -> str | None:
    """The reason why the principal may not do what needs this role, on this task if any; None if it may."""
    if not principal.role.covers(needed):
        return f"the role of {principal.name!r} is {principal.role}, but this needs {needed}; ask the operator of this server"
    if task_id is not None and not principal.sees(task_id):
        words = f"{principal.name!r} may use the tasks that match {principal.tasks!r}, and {task_id!r} is not one of them"
        return f"{words}; ask the operator of this server"
    return None
