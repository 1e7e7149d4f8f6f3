"""Every route: one module a resource, whose functions are its routes."""

from fastlane.web.routes import events, executions, health, jobs, logs, operations, pages
from fastlane.web.routing import routes_of

ALL_ROUTES = routes_of(jobs, executions, logs, events, operations, health, pages)
"""The routes of each path, including routes that only our own pages use."""
ROUTES = {path: resource for path, resource in ALL_ROUTES.items() if resource.label}
"""The public API, which the OpenAPI document describes."""
