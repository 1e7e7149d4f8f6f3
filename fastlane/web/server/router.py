"""Finds the handler for a path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application

from fastlane.web.handler.handler import Handler
from fastlane.web.handler.unknown_route import UnknownRoute


@dataclass(slots=True)
class RouteNode:
    """One segment of the routes' tree. ``literals`` are the fixed segments that may follow; ``parameter`` is the node of a named one, whose
    name is ``parameter_name``. ``handler`` serves the paths that end here. ``route`` is their form in the docs, empty for routes of our own
    pages."""

    handler: type[Handler] | None = None
    route: str = ""
    literals: "dict[str, RouteNode]" = field(default_factory=dict)
    parameter_name: str = ""
    parameter: "RouteNode | None" = None

    def add(self, route: str, handler: type[Handler], *, public: bool = True) -> None:
        """Adds a route such as ``/tasks/{task_id}``. Routes that have a parameter in the same place use the same name for it."""
        node = self
        for segment in filter(None, route.split("/")):
            if segment.startswith("{"):
                node.parameter_name, node.parameter = segment[1:-1], node.parameter or RouteNode()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, RouteNode())
        node.handler, node.route = handler, route if public else ""

    def near(self, path: str) -> tuple[str, ...]:
        """The routes that begin as a path without a route does, each as far as the next handler."""
        node = self
        for segment in filter(None, path.split("/")):
            below = node.literals.get(segment, node.parameter)
            if below is None:
                break
            node = below
        return tuple(route for route in dict.fromkeys((node.route, *node.routes_below())) if route)

    def routes_below(self) -> Iterator[str]:
        """The first routes on each way down."""
        for node in (*self.literals.values(), *filter(None, (self.parameter,))):
            if node.handler is not None:
                yield node.route
            else:
                yield from node.routes_below()

    def find(self, path: str) -> tuple[type[Handler], dict[str, Any]]:
        """The handler of a path (its bytes as Latin-1), and what to initialize it with: the percent-decoded parameters, and the route.
        ``%2F`` does not separate segments. Repeated slashes count as one, and a trailing slash is ignored."""
        node, parameters = self, dict[str, str]()
        for segment in filter(None, path.split("/")):
            if segment in node.literals:
                node = node.literals[segment]
            elif node.parameter is not None:
                parameters[node.parameter_name] = _decoded(segment)
                node = node.parameter
            else:
                return UnknownRoute, {"path": {}}
        if node.handler is None:
            return UnknownRoute, {"path": {}}
        return node.handler, {"path": parameters, "route": node.route}


class PathRouter(Router):
    """Routes requests to an application's handlers. ``/task`` is an alias of ``/tasks``. ``prefix`` is the path of ``public_url``: requests
    may come with it or without it, since some proxies remove it and others do not. ``own``: routes that only our own pages use."""

    def __init__(
        self, app: Application, routes: Mapping[str, type[Handler]], prefix: str = "", own: Mapping[str, type[Handler]] | None = None
    ) -> None:
        self._app = app
        self._prefix = prefix
        self._root = RouteNode()
        for route, handler in routes.items():
            self._root.add(route, handler)
        for route, handler in (own or {}).items():
            self._root.add(route, handler, public=False)
        self._root.literals["task"] = self._root.literals["tasks"]

    def find_handler(self, request: HTTPServerRequest, **_options: object) -> HTTPMessageDelegate:
        """See Tornado."""
        handler, found = self._root.find(request.path) if request.path[:1] in ("", "/") else (UnknownRoute, {"path": {}})
        if handler is UnknownRoute and self._prefix and f"{request.path}/".startswith(f"{self._prefix}/"):
            request.path = request.path.removeprefix(self._prefix)
            handler, found = self._root.find(request.path)
        more = {"near": self._root.near(request.path)} if handler is UnknownRoute else {}
        return self._app.get_handler_delegate(request, handler, {**found, **more})


def _decoded(segment: str) -> str:
    """Raw UTF-8 bytes, as curl sends them, mean the same as percent-encoded ones. Bytes that are not valid UTF-8 become surrogates."""
    if segment.isascii() and "%" not in segment:
        return segment
    return unquote_to_bytes(segment.encode("latin-1")).decode(errors="surrogateescape")
