"""Jobs on several nodes that write known logs and can wait for the test's word. Their starts are counted outside of Docker."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.installation import Installation, installed
from tests.support.nodes import NodesView, describe
from tests.support.process_options import ProcessOptions
from tests.support.start_witness import HOLD, TELL
from tests.support.swarms import Swarms
from tests.support.waiting import wait_until

TASK = "job"
COUNT = 'i=0; while [ $i -lt {lines} ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; '
LIVE = "sleep 1; "
"""A busy engine loses a whole stream when the container ends before the engine has begun to read (docs/swarm.md)."""
HALF = 500
"""The lines that a waiting job writes to each stream before it waits; it writes as many after."""
OPTIONS = ProcessOptions(reconcile=2.0)


def lines(word: str, count: int) -> bytes:
    """What ``COUNT`` writes to a stream."""
    return b"".join(b"%s %d\n" % (word.encode(), number) for number in range(count))


@dataclass
class Posted:
    """An accepted job, what it writes to each stream, its exit code, and the node that it has to run on, if any."""

    reply: dict[str, Any]
    out: bytes
    err: bytes
    code: int
    node: str | None = None

    @property
    def path(self) -> str:
        """The job's."""
        return f"/tasks/{self.reply['taskId']}/jobs/{self.reply['jobId']}"


class ScriptedJobs:
    """The jobs of one installation. ``image`` is what they run; ``view`` shows the nodes."""

    def __init__(self, fastlane: Installation, view: NodesView, image: str) -> None:
        self.fastlane = fastlane
        self.view = view
        self._image = image

    def job(self, script: str, out: bytes, err: bytes, code: int = 0, *, node: str | None = None, **more: object) -> Posted:
        """Posts a job that runs this script. ``node``: the one that it has to run on."""
        container: dict[str, object] = {"mounts": [self.fastlane.witness.mount], "stopGrace": "2s"}
        if node is not None:
            container["constraints"] = [f"node.hostname=={node}"]
        body = {"image": self._image, "command": ["sh", "-c", f"{TELL}{script}{LIVE}exit {code}"], "container": container, **more}
        answer = self.fastlane.post(f"/tasks/{TASK}", body)
        assert answer.status == 200, answer.body
        return Posted(answer.json, out, err, code, node)

    def counts(self, number: int, code: int = 0, **more: Any) -> Posted:
        """Posts a job that writes this many lines to each stream, and ends."""
        return self.job(COUNT.format(lines=number), lines("out", number), lines("err", number), code, **more)

    def waits(self, code: int = 0, **more: Any) -> Posted:
        """Posts a job that writes half of its lines, waits for ``let_go``, and writes the rest."""
        half = COUNT.format(lines=HALF)
        out, err = lines("out", HALF), lines("err", HALF)
        return self.job(f"{half}{HOLD}{half}", out * 2, err * 2, code, **more)

    def talks(self, **more: Any) -> Posted:
        """Posts a job that writes a line to stdout five times a second, until ``let_go``."""
        script = 'i=0; until [ -e /witness/go-$FASTLANE_JOB_ID ]; do echo "out $i"; i=$((i+1)); sleep 0.2; done; '
        return self.job(script, b"", b"", **more)

    def let_go(self, *jobs: Posted) -> None:
        """Lets waiting containers go on."""
        for job in jobs:
            self.fastlane.witness.release(job.reply["jobId"])

    def begun(self, *jobs: Posted) -> None:
        """Returns once the first half of each job's log is stored."""
        for job in jobs:
            self.fastlane.reaches(job.reply, "running")
            wait_until(lambda job=job: self.fastlane.output(job.reply) == lines("out", HALF), f"the first half of {job.path}")
            wait_until(lambda job=job: self.fastlane.output(job.reply, "stderr") == lines("err", HALF), f"the first half of {job.path}")

    def attempts(self, job: Posted) -> list[dict[str, Any]]:
        """A job's executions, the first attempt first."""
        rows: list[dict[str, Any]] = self.fastlane.get(f"{job.path}/executions?perPage=100").json["items"]
        return rows[::-1]

    def check_none_twice(self, *jobs: Posted, killed: bool = False) -> None:
        """Fails if an execution of these started more than once. ``killed``: an engine was killed meanwhile, which may start once more the
        very container that it was starting then (docs/swarm.md)."""
        for job in jobs:
            for row in self.attempts(job):
                containers = self.fastlane.witness.containers_of(row["executionId"])
                assert len(set(containers) if killed else containers) <= 1, (containers, row)

    def check_whole(self, job: Posted, row: dict[str, Any] | None = None, *, struck: bool = False) -> dict[str, Any]:
        """Returns a job's newest execution, or ``row``. Fails unless it ended by itself, in one container, with its whole log.

        ``struck``: its node may have been away for long just after the managers had said how it ended. Nobody knows then whether its log is
        whole, and the execution says so.
        """
        ended = row or self.fastlane.ends(job.reply, patience=180)
        expected = ("failed" if job.code else "done", job.code)
        assert (ended["status"], ended["exitCode"]) == expected, ended
        assert ended["host"] in self.view.hosts
        assert self.fastlane.witness.containers_of(ended["executionId"]) == [ended["containerId"][:12]], ended
        unsure = struck and ended["logInfo"]["truncated"]
        for stream, text in (("stdout", job.out), ("stderr", job.err)):
            body = self.fastlane.get(f"{job.path}/executions/{ended['executionId']}/{stream}").body
            assert text.startswith(body) if unsure else body == text, (stream, ended)
            assert ended["logInfo"][f"{stream}Bytes"] == len(body), ended
        assert unsure or not ended["logInfo"]["truncated"], ended
        return ended

    def check_nothing_left(self, patience: float = 120) -> None:
        """Returns once nothing of the installation is on any node."""
        self.view.check_nothing_left(self.fastlane.name, patience)


@contextlib.contextmanager
def scripted_jobs(
    folder: Path,
    bed: Swarms,
    image: str,
    hosts: Sequence[str] = (),
    *,
    redis: str | None = None,
    most: int = 100,
    pool: Mapping[str, object] | None = None,
    options: ProcessOptions = OPTIONS,
    **settings: str,
) -> Iterator[ScriptedJobs]:
    """An installation that runs as ``fastlane up``, on these ``hosts`` (none: all nodes, through the network). With ``redis``, a URL,
    nothing of it runs yet. It is gone after the block. ``pool``: what else its pool has."""
    folder.mkdir(parents=True, exist_ok=True)
    view = NodesView(bed, list(hosts) or [node.tcp for node in bed.nodes])
    policy = {"mounts": [f"{folder}/witness"], "constraints": ["*"], "stopGrace": "10s"}
    rules = {"maxRunning": most, "policy": policy, **(pool or {})}
    quick = {"lease": "2s", "renew": "0.7s", "host_lost_after": "20s", "breaker_reset": "3s", **settings}
    with installed(folder, view, redis=redis, pool=rules, with_token=True, options=options, **quick) as fastlane:
        try:
            if redis is None:
                fastlane.serve("up")
                fastlane.until_healthy()
            yield ScriptedJobs(fastlane, view, image)
        except BaseException as error:
            error.add_note(describe(bed))
            raise
