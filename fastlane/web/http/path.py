"""The parameters in a request's path, and the length of its head."""

import re
from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest

from fastlane.errors import Fault, Invalid, NotFound
from fastlane.models.task import task_id_fault
from fastlane.web.http.problems import Problem

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether it is a UUID, in either case."""
    return UUID.fullmatch(text.lower()) is not None


UUIDS = frozenset({"job_id", "execution_id", "delivery_id"})
MAX_HEAD = 64 * 1024
"""Bytes that the URL may take, and that the headers may take."""


def read_path(path: Mapping[str, str], *, chooses_job_id: bool) -> dict[str, str]:
    """The path's parameters by name, with UUIDs in lower case. Raises NotFound for an id that nothing can have, and Invalid where the
    request itself chooses the id."""
    return {name: _read_parameter(name, value, chooses_job_id) for name, value in path.items()}


def check_length(request: HTTPServerRequest) -> None:
    """Raises a 414 for a URL and a 431 for headers that are too long. (Tornado does not read much longer ones at all.)"""
    if len(request.uri or "") > MAX_HEAD:
        raise Problem(414, f"the URL is longer than {MAX_HEAD} bytes; send what it says in the request's body instead")
    if sum(len(name) + len(value) for name, value in request.headers.get_all()) > MAX_HEAD:
        raise Problem(431, f"the headers take more than {MAX_HEAD} bytes; leave out those that fastlane does not read, such as cookies")


def _read_parameter(name: str, value: str, chooses_job_id: bool) -> str:
    if name == "task_id":
        if fault := task_id_fault(value):
            raise Invalid([Fault("taskId", fault)])
        return value
    if name not in UUIDS:
        return value
    id = value.lower()
    if UUID.fullmatch(id):
        return id
    if name == "job_id" and chooses_job_id:
        raise Invalid([Fault("jobId", f"is not a UUID: {value[:80]!r}; make one, such as 6c84fb90-12c4-11e1-840d-7b25c5ee775a")])
    raise NotFound(f"there is no {name.removesuffix('_id')} {value[:80]!r}; its id is a UUID")
