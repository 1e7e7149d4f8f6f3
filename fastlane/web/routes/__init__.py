"""Every route: one module a resource, whose functions are its routes."""

from fastlane.web.routes import events, executions, health, jobs, logs, operations, pages, tasks
from fastlane.web.routing import resources_of

RESOURCES = resources_of(tasks, jobs, executions, logs, events, operations, health, pages)
"""What stands at each path, also what only our own pages use."""
ROUTES = {path: resource for path, resource in RESOURCES.items() if resource.label}
"""The public API, which the OpenAPI document describes."""
