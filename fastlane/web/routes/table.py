"""Every route and its handler."""

from collections.abc import Mapping

from fastlane.web.handler.handler import Handler
from fastlane.web.routes.jobs.deliveries import DeliveriesHandler, JobDeliveriesHandler, RedeliverHandler, RedeliverOfJobHandler
from fastlane.web.routes.jobs.executions import ExecutionHandler, ExecutionsHandler, JobExecutionsHandler, StopExecutionHandler
from fastlane.web.routes.jobs.job_list import JobsHandler
from fastlane.web.routes.jobs.jobs import JobHandler, PauseJobHandler, ResumeJobHandler, RetryJobHandler, RunJobHandler, StopJobHandler
from fastlane.web.routes.jobs.logs import LogsHandler, StderrHandler, StdoutHandler
from fastlane.web.routes.jobs.tasks import SearchHandler, StopTaskHandler, TaskHandler, TaskJobsHandler, TasksHandler
from fastlane.web.routes.jobs.tickets import TicketHandler
from fastlane.web.routes.jobs.ticks import TicksHandler
from fastlane.web.routes.jobs.websocket import SocketHandler
from fastlane.web.routes.jobs.why import WhyHandler
from fastlane.web.routes.operations.dispatch import PauseDispatchHandler, ResumeDispatchHandler
from fastlane.web.routes.operations.events import EventsHandler
from fastlane.web.routes.operations.health import HealthHandler, LiveHandler, ReadyHandler, StatusHandler
from fastlane.web.routes.operations.history import HistoryHandler
from fastlane.web.routes.operations.hosts import BlacklistHandler, HostHandler, HostsHandler
from fastlane.web.routes.operations.metrics import MetricsHandler
from fastlane.web.routes.operations.operator import EndExecutionHandler, ForgetWorkerHandler, MarkCleanedHandler, RebuildQueueHandler
from fastlane.web.routes.operations.pools import PausePoolHandler, PoolsHandler, ReloadPoolsHandler, ResumePoolHandler
from fastlane.web.routes.pages.console import ConsoleHandler
from fastlane.web.routes.pages.openapi import OpenApiHandler
from fastlane.web.routes.pages.pages import AssetHandler, DocsHandler, RootHandler, StreamPageHandler
from fastlane.web.routes.pages.session import LoginPageHandler, SessionHandler

ROUTES: Mapping[str, type[Handler]] = {
    "/tasks": TasksHandler,
    "/search": SearchHandler,
    "/jobs": JobsHandler,
    "/executions": ExecutionsHandler,
    "/events": EventsHandler,
    "/tasks/{task_id}": TaskHandler,
    "/tasks/{task_id}/stop": StopTaskHandler,
    "/tasks/{task_id}/jobs": TaskJobsHandler,
    "/tasks/{task_id}/jobs/{job_id}": JobHandler,
    "/tasks/{task_id}/jobs/{job_id}/stop": StopJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/retry": RetryJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/run": RunJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/pause": PauseJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/resume": ResumeJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/ticks": TicksHandler,
    "/tasks/{task_id}/jobs/{job_id}/stdout": StdoutHandler,
    "/tasks/{task_id}/jobs/{job_id}/stderr": StderrHandler,
    "/tasks/{task_id}/jobs/{job_id}/logs": LogsHandler,
    "/tasks/{task_id}/jobs/{job_id}/stream": StreamPageHandler,
    "/tasks/{task_id}/jobs/{job_id}/ws": SocketHandler,
    "/tasks/{task_id}/jobs/{job_id}/ws-ticket": TicketHandler,
    "/tasks/{task_id}/jobs/{job_id}/why": WhyHandler,
    "/tasks/{task_id}/jobs/{job_id}/deliveries": JobDeliveriesHandler,
    "/tasks/{task_id}/jobs/{job_id}/deliveries/{delivery_id}/redeliver": RedeliverOfJobHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions": JobExecutionsHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}": ExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stop": StopExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stdout": StdoutHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stderr": StderrHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/logs": LogsHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stream": StreamPageHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/ws": SocketHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/ws-ticket": TicketHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/why": WhyHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/deliveries": DeliveriesHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/deliveries/{delivery_id}/redeliver": RedeliverHandler,
    "/history": HistoryHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/end": EndExecutionHandler,
    "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/mark-cleaned": MarkCleanedHandler,
    "/queue/rebuild": RebuildQueueHandler,
    "/workers/{worker}/forget": ForgetWorkerHandler,
    "/dispatch/pause": PauseDispatchHandler,
    "/dispatch/resume": ResumeDispatchHandler,
    "/pools": PoolsHandler,
    "/pools/reload": ReloadPoolsHandler,
    "/pools/{pool}/pause": PausePoolHandler,
    "/pools/{pool}/resume": ResumePoolHandler,
    "/hosts": HostsHandler,
    "/hosts/{host}": HostHandler,
    "/docker-executor/blacklist": BlacklistHandler,
    "/livez": LiveHandler,
    "/readyz": ReadyHandler,
    "/healthcheck": HealthHandler,
    "/status": StatusHandler,
    "/metrics": MetricsHandler,
    "/openapi.json": OpenApiHandler,
    "/docs": DocsHandler,
    "/login": LoginPageHandler,
    "/": RootHandler,
}
"""The public API, which the OpenAPI document describes."""

CONSOLE: Mapping[str, type[Handler]] = {
    "/console": ConsoleHandler,
    "/console/tasks": ConsoleHandler,
    "/console/tasks/{task}": ConsoleHandler,
    "/console/tasks/{task}/jobs/{job}": ConsoleHandler,
    "/console/executions": ConsoleHandler,
    "/console/hosts": ConsoleHandler,
    "/console/new": ConsoleHandler,
}
"""The pages of the console but the first, which is at ``/``. docs/console.md describes them."""

UNDOCUMENTED: Mapping[str, type[Handler]] = {"/static/{file}": AssetHandler, "/session": SessionHandler, **CONSOLE}
"""Routes that are not of the API: our own pages, and what only they use."""
