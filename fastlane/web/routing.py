"""Routes: functions, each declared with its path, its input and its answers.

``route`` declares one. The handler checks requests against it (an unknown query name is refused) and sends what the function returns; the
OpenAPI document is made from it, with the function's docstring as the summary. ``RouteNode`` finds the routes of a path.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import unquote_to_bytes

from tornado.web import RequestHandler

from fastlane.models.access import Role, needed_role
from fastlane.web.api.body import BodyObject
from fastlane.web.api.contract import (
    ETAG,
    IDEMPOTENCY_HEADERS,
    IDEMPOTENCY_REFUSALS,
    IF_MATCH_HEADERS,
    RANGE_HEADERS,
    REPLAYED,
    ApiParameter,
    Response,
    flag,
)
from fastlane.web.api.serializer import Serializer
from fastlane.web.security.sessions import TICKET

PRETTY = {"pretty": flag("Indents the answer's JSON, for people.")}
"""The query of every route that answers JSON."""

Act = Callable[..., Awaitable[object]]
"""A route's function. It takes the handler, and the path's parameters by name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a route's function when its route has several answers: the value, its serializer, and the status."""

    serializer: Serializer[Any]
    value: object
    status: int = 200


@dataclass(frozen=True, slots=True)
class RouteOperation:
    """The input and answers of a route. ``id`` is its name in clients generated from the document. ``refusals`` are the statuses of the
    problems that it may answer in addition to the problems of every route. ``more`` adds to its summary."""

    id: str
    answers: Mapping[int, Response]
    query: Mapping[str, ApiParameter] = field(default_factory=dict)
    headers: Mapping[str, ApiParameter] = field(default_factory=dict)
    body: BodyObject | None = None
    refusals: Sequence[int] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """Who may use a route. ``role``: the role that its writes need; None: ``run`` where the path names a task, else ``admin``. ``public``:
    it needs no login. ``exempts`` decides whether a handler's request needs no login."""

    role: Role | None = None
    public: bool = False
    exempts: Callable[[Any], bool] | None = None


USUAL = RouteAccess()
ADMIN = RouteAccess(Role.ADMIN)
TRIGGER = RouteAccess(Role.TRIGGER)
PUBLIC = RouteAccess(public=True)


@dataclass(frozen=True, slots=True)
class Route:
    """A function that answers a method of its paths. ``handler``: a class of its own, where Tornado wants one. ``keeps_body``: it reads the
    body, which is otherwise drained. A route without an id is only for our own pages, and not in the document."""

    method: str
    paths: tuple[str, ...]
    operation: RouteOperation
    act: Act
    access: RouteAccess = USUAL
    handler: type[RequestHandler] | None = None
    keeps_body: bool = False

    def role_at(self, path: str) -> Role | None:
        """The role that a request to this path of it needs; None where it needs no login."""
        if self.access.public:
            return None
        needed = needed_role(self.method, of_task="{task_id}" in path)
        return needed if needed is Role.READ or self.access.role is None else self.access.role

    @property
    def summary(self) -> str:
        """Its purpose, in a line or two."""
        return (self.act.__doc__ or "").strip().rstrip(".")

    @property
    def serializer(self) -> Serializer[Any] | None:
        """The serializer of the value that the function returns. None where that is an ``Answer``, or where the function answers itself."""
        usual = self.operation.answers.get(200)
        return usual.bodies[0] if usual is not None and len(usual.bodies) == 1 and not usual.media else None

    @property
    def query(self) -> Mapping[str, ApiParameter]:
        """The names that a request may have in its query."""
        answers = self.operation.answers.values()
        answers_json = any(answer.bodies or "application/json" in answer.media for answer in answers)
        return {**self.operation.query, **PRETTY} if answers_json else self.operation.query

    @property
    def is_list(self) -> bool:
        """Whether it answers with a page of JSON, which may be large."""
        return "perPage" in self.operation.query and self.serializer is not None

    def id_at(self, path: str) -> str:
        """The operation's id. A route with several paths has one for each."""
        if path == self.paths[0]:
            return self.operation.id
        return f"{self.operation.id}{'OfExecution' if '{execution_id}' in path else 'AtRoot'}"


def route(
    method: str,
    paths: str | tuple[str, ...],
    id: str = "",
    *bodies: Serializer[Any],
    answers: Mapping[int, Response] | None = None,
    query: Mapping[str, ApiParameter] | None = None,
    body: BodyObject | None = None,
    idempotent: bool = False,
    conditional: bool = False,
    etag: bool = False,
    ranges: bool = False,
    refusals: Sequence[int] = (),
    more: str = "",
    access: RouteAccess = USUAL,
    handler: type[RequestHandler] | None = None,
    keeps_body: bool = False,
) -> Callable[[Act], Route]:
    """Declares a route. With 200 it answers one of ``bodies``, or it answers as ``answers`` says: a function with one body returns the
    value that this renders, one with several an ``Answer``, and one with other media answers by the handler's own methods.
    ``idempotent``: it takes an ``Idempotency-Key``; ``conditional``: it takes an ``If-Match``; ``etag``: its answer has an ``ETag``;
    ``ranges``: it takes a ``Range``."""
    response = Response("What was asked for.", bodies, headers=(*((REPLAYED,) if idempotent else ()), *((ETAG,) if etag else ())))
    operation = RouteOperation(
        id,
        {**({200: response} if bodies else {}), **(answers or {})},
        query or {},
        (IDEMPOTENCY_HEADERS if idempotent else {}) | (IF_MATCH_HEADERS if conditional else {}) | (RANGE_HEADERS if ranges else {}),
        body,
        (*refusals, *(IDEMPOTENCY_REFUSALS if idempotent else ()), *((412,) if conditional else ()), *((416,) if ranges else ())),
        more,
    )
    places = (paths,) if isinstance(paths, str) else paths
    return lambda act: Route(method, places, operation, act, access, handler, keeps_body or body is not None)


class PathRoutes:
    """The routes of one path, by method. ``label`` is the path as the docs have it, empty for routes that only our own pages use."""

    __slots__ = ("accepts_tickets", "exempts", "handler", "keeps_body", "label", "public", "routes")

    def __init__(self, path: str, routes: Iterable[Route]) -> None:
        """Raises ValueError for two routes of one method."""
        found = list(routes)
        self.routes: Mapping[str, Route] = {one.method: one for one in found}
        if len(self.routes) < len(found):
            raise ValueError(f"{path} has two routes of one method")
        self.label = path if any(one.operation.id for one in found) else ""
        self.public = any(one.access.public for one in found)
        self.exempts = next((one.access.exempts for one in found if one.access.exempts is not None), None)
        self.keeps_body = any(one.keeps_body for one in found)
        self.accepts_tickets = any(TICKET in one.operation.query for one in found)
        self.handler = next((one.handler for one in found if one.handler is not None), None)

    @property
    def methods(self) -> list[str]:
        """The methods that the path takes, as ``Allow`` names them. HEAD works where GET does."""
        names = sorted(self.routes.keys() - {"OPTIONS"})
        return [*names, *(["HEAD"] if "GET" in names else [])]


def routes_of(*modules: ModuleType) -> Mapping[str, PathRoutes]:
    """The routes of each path, from the declarations in these modules."""
    by_path: dict[str, list[Route]] = {}
    for module in modules:
        for one in vars(module).values():
            if isinstance(one, Route) and one.act.__module__ == module.__name__:
                for path in one.paths:
                    by_path.setdefault(path, []).append(one)
    return {path: PathRoutes(path, routes) for path, routes in by_path.items()}


@dataclass(slots=True)
class RouteNode:
    """One segment in the tree of routes. ``literals`` are the fixed segments that may follow; ``parameter`` is the node of a named segment,
    whose name is ``parameter_name``. ``resource`` serves the paths that end here."""

    resource: PathRoutes | None = None
    literals: "dict[str, RouteNode]" = field(default_factory=dict)
    parameter_name: str = ""
    parameter: "RouteNode | None" = None

    def add(self, path: str, resource: PathRoutes) -> None:
        """Adds the routes of a path, for example of ``/tasks/{task_id}``. Paths that have a parameter in the same place use the same name
        for it."""
        node = self
        for segment in filter(None, path.split("/")):
            if segment.startswith("{"):
                node.parameter_name, node.parameter = segment[1:-1], node.parameter or RouteNode()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, RouteNode())
        node.resource = resource

    def near(self, path: str) -> tuple[str, ...]:
        """The routes that begin like a path without a route, each as far as the next resource."""
        node = self
        for segment in filter(None, path.split("/")):
            below = node.literals.get(segment, node.parameter)
            if below is None:
                break
            node = below
        return tuple(label for label in dict.fromkeys((node.label, *node.labels_below())) if label)

    @property
    def label(self) -> str:
        """The form of the path that ends here, as the docs have it, if there is one."""
        return "" if self.resource is None else self.resource.label

    def labels_below(self) -> Iterator[str]:
        """The first routes on each way down."""
        for node in (*self.literals.values(), *filter(None, (self.parameter,))):
            if node.resource is not None:
                yield node.label
            else:
                yield from node.labels_below()

    def find(self, path: str) -> tuple[PathRoutes | None, dict[str, str]]:
        """The routes at a path (its bytes as Latin-1), and the percent-decoded parameters. ``%2F`` does not separate segments. Repeated
        slashes count as one, and a trailing slash is ignored. None for a path without routes."""
        node, parameters = self, dict[str, str]()
        for segment in filter(None, path.split("/")):
            if segment in node.literals:
                node = node.literals[segment]
            elif node.parameter is not None:
                parameters[node.parameter_name] = _decoded(segment)
                node = node.parameter
            else:
                return None, {}
        return (None, {}) if node.resource is None else (node.resource, parameters)


def _decoded(segment: str) -> str:
    """Raw UTF-8 bytes, as curl sends them, mean the same as percent-encoded ones. Bytes that are not valid UTF-8 become surrogates."""
    if segment.isascii() and "%" not in segment:
        return segment
    return unquote_to_bytes(segment.encode("latin-1")).decode(errors="surrogateescape")
