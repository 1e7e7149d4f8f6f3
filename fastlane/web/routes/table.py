"""Every route and its handler."""

from collections.abc import Mapping

from fastlane.web.handler import Handler
from fastlane.web.routes.events import EventsHandler
from fastlane.web.routes.executions import (
    DeliveriesHandler,
    ExecutionHandler,
    ExecutionsHandler,
    HistoryHandler,
    JobDeliveriesHandler,
    JobExecutionsHandler,
    RedeliverHandler,
    RedeliverOfJobHandler,
    StopExecutionHandler,
)
from fastlane.web.routes.health import HealthHandler, LiveHandler, MetricsHandler, ReadyHandler, StatusHandler
from fastlane.web.routes.jobs import (
    JobHandler,
    JobsHandler,
    PauseJobHandler,
    ResumeJobHandler,
    RetryJobHandler,
    RunJobHandler,
    StopJobHandler,
    TicksHandler,
    WhyHandler,
)
from fastlane.web.routes.logs import LogsHandler, SocketHandler, StderrHandler, StdoutHandler, TicketHandler
from fastlane.web.routes.operations import (
    BlacklistHandler,
    EndExecutionHandler,
    ForgetWorkerHandler,
    HostHandler,
    HostsHandler,
    MarkCleanedHandler,
    PauseDispatchHandler,
    PausePoolHandler,
    PoolsHandler,
    RebuildQueueHandler,
    ReloadPoolsHandler,
    ResumeDispatchHandler,
    ResumePoolHandler,
)
from fastlane.web.routes.pages import (
    AssetHandler,
    ConsoleHandler,
    DocsHandler,
    LoginPageHandler,
    OpenApiHandler,
    RootHandler,
    SessionHandler,
    StreamPageHandler,
)
from fastlane.web.routes.tasks import SearchHandler, StopTaskHandler, TaskHandler, TaskJobsHandler, TasksHandler

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
