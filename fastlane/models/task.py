"""A task: the name under which jobs are grouped, and the rules for task ids."""

import re
from dataclasses import dataclass

MAX_TASK_ID_BYTES = 255
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it is listed. Moments are in milliseconds."""

    id: str
    created_at: int
    modified_at: int
    jobs_count: int


def task_id_fault(task_id: str) -> str | None:
    """Why a text cannot be a task's id; None when it can."""
    if not task_id:
        return "a task id must not be empty"
    if task_id in {".", ".."}:
        return 'a task id must not be "." or ".."'
    if "/" in task_id:
        return 'a task id must not contain "/"'
    if CONTROL.search(task_id):
        return "a task id must not contain control characters"
    if SURROGATE.search(task_id):
        return "a task id must be valid Unicode"
    if len(task_id.encode()) > MAX_TASK_ID_BYTES:
        return f"a task id must have at most {MAX_TASK_ID_BYTES} bytes"
    return None
