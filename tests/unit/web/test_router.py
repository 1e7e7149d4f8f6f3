"""Which route a path leads to."""

import pytest

from fastlane.web.handler import UnknownRoute
from fastlane.web.routes.health import HealthHandler, LiveHandler
from fastlane.web.routes.tasks import TaskHandler, TasksHandler
from fastlane.web.server import RouteNode

TREE = RouteNode()
for route, there in {
    "/": HealthHandler,
    "/a": LiveHandler,
    "/tasks/{task_id}": TaskHandler,
    "/tasks/{task_id}/b/{job_id}": TasksHandler,
}.items():
    TREE.add(route, there)


@pytest.mark.parametrize(
    ("path", "handler", "parts"),
    [
        ("", HealthHandler, {}),
        ("/", HealthHandler, {}),
        ("//a//", LiveHandler, {}),
        ("/a/a", UnknownRoute, {}),
        ("/tasks", UnknownRoute, {}),
        ("/tasks/a", TaskHandler, {"task_id": "a"}),
        ("//tasks///b//", TaskHandler, {"task_id": "b"}),
        ("/tasks/x/b", UnknownRoute, {}),
        ("/tasks/x/c", UnknownRoute, {}),
        ("/tasks/x/b/y", TasksHandler, {"task_id": "x", "job_id": "y"}),
        ("/tasks/x/b/y/z", UnknownRoute, {}),
        ("/Tasks/x", UnknownRoute, {}),
        ("/t%61sks/x", UnknownRoute, {}),
        ("/tasks/a%2Fb%20%25", TaskHandler, {"task_id": "a/b %"}),
        ("/tasks/100%", TaskHandler, {"task_id": "100%"}),
        ("/tasks/%C3%A4\xc3\xa4", TaskHandler, {"task_id": "ää"}),
        ("/tasks/%FF\xe4", TaskHandler, {"task_id": "\udcff\udce4"}),
    ],
)
def test_a_path_leads_to_its_route_with_its_parts_decoded(path, handler, parts):
    found, given = TREE.find(path)
    assert (found, given["path"]) == (handler, parts)


@pytest.mark.parametrize(
    ("path", "routes"),
    [
        ("/nowhere", ("/", "/a", "/tasks/{task_id}")),
        ("/a/b", ("/a",)),
        ("/tasks", ("/tasks/{task_id}",)),
        ("/tasks/x/jobs", ("/tasks/{task_id}", "/tasks/{task_id}/b/{job_id}")),
        ("/tasks/x/b/y/z", ("/tasks/{task_id}/b/{job_id}",)),
    ],
)
def test_a_path_without_a_route_is_told_the_routes_that_begin_as_it_does(path, routes):
    assert TREE.near(path) == routes
