"""Answers to what an operator puts right by hand."""

from fastlane.services.results import ExecutionCleaned, QueueRebuild, WorkerForgotten
from fastlane.web.api.serializer import Serializer, boolean, string, url, uuid

EXECUTION_CLEANED = Serializer[ExecutionCleaned](
    "ExecutionCleaned",
    "An execution whose service counts as removed.",
    executionId=uuid(lambda one: one.execution_id, "The execution's id."),
    executionUrl=url(lambda one, render: render.execution_url(one.task_id, one.job_id, one.execution_id), "The execution."),
    cleaned=boolean(lambda _: True, "Always true."),
)
QUEUE_REBUILD = Serializer[QueueRebuild](
    "QueueRebuild",
    "Whether the queue is being built anew.",
    begun=boolean(lambda rebuild: rebuild.begun, "Whether this request began it; false: a rebuild was under way already."),
)
WORKER_FORGOTTEN = Serializer[WorkerForgotten](
    "WorkerForgotten",
    "A worker that is forgotten until it reports itself again.",
    worker=string(lambda one: one.worker, "The worker's id."),
)
