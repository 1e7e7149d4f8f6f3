"""Which route a path leads to."""

import pytest

from fastlane.web.routing import PathRoutes, RouteNode, route


async def answer(_handler: object) -> None:
    """Answers."""


PATHS = ("/", "/a", "/tasks/{task_id}", "/tasks/{task_id}/b/{job_id}")
ROOT, A, TASK, JOB = ALL_ROUTES = tuple(PathRoutes(path, [route("GET", path, "get")(answer)]) for path in PATHS)
TREE = RouteNode()
for path, resource in zip(PATHS, ALL_ROUTES, strict=True):
    TREE.add(path, resource)


@pytest.mark.parametrize(
    ("path", "resource", "parts"),
    [
        ("", ROOT, {}),
        ("/", ROOT, {}),
        ("//a//", A, {}),
        ("/a/a", None, {}),
        ("/tasks", None, {}),
        ("/tasks/a", TASK, {"task_id": "a"}),
        ("//tasks///b//", TASK, {"task_id": "b"}),
        ("/tasks/x/b", None, {}),
        ("/tasks/x/c", None, {}),
        ("/tasks/x/b/y", JOB, {"task_id": "x", "job_id": "y"}),
        ("/tasks/x/b/y/z", None, {}),
        ("/Tasks/x", None, {}),
        ("/t%61sks/x", None, {}),
        ("/tasks/a%2Fb%20%25", TASK, {"task_id": "a/b %"}),
        ("/tasks/100%", TASK, {"task_id": "100%"}),
        ("/tasks/%C3%A4\xc3\xa4", TASK, {"task_id": "ää"}),
        ("/tasks/%FF\xe4", TASK, {"task_id": "\udcff\udce4"}),
    ],
)
def test_a_path_leads_to_its_route_with_its_parts_decoded(path, resource, parts):
    assert TREE.find(path) == (resource, parts)


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


def test_two_routes_of_one_method_and_path_are_refused():
    with pytest.raises(ValueError, match="/a has two routes of one method"):
        PathRoutes("/a", [route("GET", "/a", "one")(answer), route("GET", "/a", "two")(answer)])


def test_a_path_names_its_methods_and_head_with_get():
    assert PathRoutes("/a", [route(method, "/a")(answer) for method in ("POST", "GET")]).methods == ["GET", "POST", "HEAD"]
