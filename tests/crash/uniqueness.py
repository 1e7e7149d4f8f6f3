"""The scenario of a unique job: an API falls while it takes the key from an equal job that does not wait any more."""

import signal

from fastlane.errors import NotUnique
from fastlane.models.status import Status
from tests.crash.api_and_reconciler import Request
from tests.crash.ground import COMMAND, IMAGE, Ground


class KeyTaken(Request):
    """The job that has the key has expired. The same request comes once more before any worker: it makes its job, and a frozen API that
    wakes then is refused, so that no two equal jobs wait. One that fell once it had made its job has made the only one."""

    async def before(self, ground: Ground) -> None:
        self.expired = (await ground.enqueue(unique=True, expiration=ground.clock.now())).job_id

    async def request(self, ground: Ground) -> None:
        self.answer = await ground.post("/tasks/trial", {"image": IMAGE, "command": list(COMMAND), "unique": True})

    async def after(self, ground: Ground) -> None:
        status = b"HTTP/1.1 409"
        try:
            self.made = str((await ground.enqueue(unique=True)).job_id)
        except NotUnique as error:
            assert self.seam == "after store.create", await ground.told()
            self.made, status = str(error.job_id), b"HTTP/1.1 200"
        (process,) = ground.processes
        if process.frozen:
            process.running.send_signal(signal.SIGCONT)
            assert self.answer is not None
            assert (await self.answer.readline()).startswith(status), await ground.told()

    async def check(self, ground: Ground) -> None:
        assert {job.id for job in await ground.store.jobs_of("trial", 10)} == {self.expired, self.made}, await ground.told()
        found = {row.job_id: (row.status, row.exit_code) for row in await ground.executions()}
        assert found == {self.expired: (Status.EXPIRED, None), self.made: (Status.FAILED, 3)}, await ground.told()
        assert ground.starts == 1, await ground.told()
