"""The routes where jobs are made, armed again and deleted, and where they are read: parse, call one service, render."""

from fastlane.errors import Fault, Invalid
from fastlane.models.job import Spec
from fastlane.models.schedule.schedule import Schedule
from fastlane.web.api.contract import ONCE, ONCE_REFUSALS, REPLAYED, Parameter, flag, operation
from fastlane.web.api.idempotency import answer_once, mark, read_once
from fastlane.web.api.requests import JobSchema, read_job
from fastlane.web.api.responses import Deleted, DryRun, Enqueued, ExecutionDetail, Waited
from fastlane.web.api.shapes import whole_number
from fastlane.web.http.body import read_object
from fastlane.web.http.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import together
from fastlane.web.routes.actions import DELETION, delete
from fastlane.web.routes.lists import JobDetailHandler, TaskJobsHandler
from fastlane.web.routes.why import DRY_RUN, LONGEST_WAIT, WAIT, dry_run, read_dry_run, read_wait, waited

ENQUEUING = {
    DRY_RUN: flag("Only says what the job would be; writes nothing."),
    WAIT: Parameter("Answers when its execution has ended, or after that many seconds.", whole_number(0, LONGEST_WAIT)),
}


class TaskHandler(TaskJobsHandler):
    """``/tasks/T``: a task's jobs, and one more of them."""

    reads_body = True

    @operation(
        "enqueue",
        *(Enqueued, Waited, DryRun),
        query=ENQUEUING,
        headers=ONCE,
        replies=REPLAYED,
        body=JobSchema,
        refusals=ONCE_REFUSALS,
        more="Makes the task when it is new. With wait the reply has the execution too; with dryRun it is a preview.",
    )
    async def on_post(self, task_id: str) -> None:
        """Makes a job and enqueues or schedules it; or says what it would be."""
        if not self.body.strip():
            raise self._nothing_sent(task_id)
        dry, seconds = together(lambda: read_dry_run(self.query), lambda: read_wait(self.query)) if self.query else (False, 0)
        once = read_once(self, "enqueue", task_id)
        spec, schedule = read_body(self)
        if dry:
            await self.answer(await dry_run(self, task_id, spec, schedule))
            return
        made = await self.services.jobs.enqueue(task_id, spec, schedule, self.requester, once)
        mark(self, made)
        await self.answer(await waited(self, made, seconds) if seconds else self.renderer.enqueued(made))

    @operation("deleteTask", Deleted, query=DELETION, refusals=(404, 409))
    async def on_delete(self, task_id: str) -> None:
        """Deletes the task with all that it has."""
        await delete(self, task_id)

    def _nothing_sent(self, task_id: str) -> Problem:
        url = self.renderer.task_url(task_id)
        return Problem(
            400,
            f"the body is empty. To list the jobs of this task: curl {url} "
            f'To run one: curl -XPOST -d\'{{"image": "ubuntu:latest", "command": "ls -lah"}}\' {url} (only image is required)',
        )


class JobHandler(JobDetailHandler):
    """``/tasks/T/jobs/J``: a job, and its replacement under the same id."""

    reads_body = True

    @operation("putJob", Enqueued, headers=ONCE, replies=REPLAYED, body=JobSchema, refusals=ONCE_REFUSALS)
    async def on_put(self, task_id: str, job_id: str) -> None:
        """Makes the job, or gives it other details and arms it again."""
        if not self.body.strip():
            raise Problem(400, 'the body is empty; send what the job is to be, such as {"image": "ubuntu:latest", "command": "ls -lah"}')
        spec, schedule = read_body(self)
        once = read_once(self, "put", task_id, job_id)
        await answer_once(self, await self.services.jobs.put(task_id, job_id, spec, schedule, self.requester, once))

    @operation("deleteJob", Deleted, query=DELETION, refusals=(404, 409))
    async def on_delete(self, task_id: str, job_id: str) -> None:
        """Deletes the job with all that it has."""
        await delete(self, task_id, job_id)

    def no_such(self, name: str, value: str) -> Exception:
        """A PUT chooses the id, so one that is none is a fault of the request."""
        if self.request.method == "PUT" and name == "job_id":
            return Invalid([Fault("jobId", f"is not a UUID: {value[:80]!r}; make one, such as 6c84fb90-12c4-11e1-840d-7b25c5ee775a")])
        return super().no_such(name, value)


class ExecutionHandler(Handler):
    """``/tasks/T/jobs/J/executions/E``."""

    @operation("getExecution", ExecutionDetail, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str) -> None:
        """The execution in full, with the end of its log."""
        await self.answer(self.renderer.execution(await self.services.queries.execution(task_id, job_id, execution_id)))


def read_body(handler: Handler) -> tuple[Spec, Schedule]:
    """What to run and when, by the request's body. Raises Invalid with every fault."""
    now, most = handler.services.clock.now(), handler.context.settings.hard_retries
    return read_job(read_object(bytes(handler.body)), now, hard_retries=most)
