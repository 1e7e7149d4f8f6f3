"""Every route: one module a resource, whose functions are its routes."""

from fastlane.web.routes import (
    backfills,
    calendars,
    events,
    executions,
    forecast,
    health,
    jobs,
    logs,
    mcp,
    operations,
    pages,
    search,
    trends,
)
from fastlane.web.routing import routes_of

ALL_ROUTES = routes_of(jobs, backfills, trends, executions, logs, search, events, operations, calendars, forecast, health, mcp, pages)
"""The routes of each path, including routes that only our own pages use."""
ROUTES = {path: resource for path, resource in ALL_ROUTES.items() if resource.label}
"""The public API, which the OpenAPI document describes."""
