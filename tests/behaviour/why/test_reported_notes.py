"""What workers note in their reports of executions that cannot go on, and what becomes of it in an answer of ``/why``."""

from dataclasses import dataclass, replace
from typing import Any

from fastlane.errors import RegistryDown
from fastlane.models import transitions
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import HostView
from fastlane.queue.port import Report
from fastlane.queue.redis.scripts import Keys
from fastlane.scheduler import leases, verdict
from fastlane.services.reads.status import hanging_fault
from tests.support.credentials import bearer, token
from tests.support.fastlane import HOST, Fastlane

REFUSED = RegistryDown('Get "https://r.example/v2/": dial tcp 10.0.0.9:443: connect: connection refused')


async def noted(crew: Fastlane, *expected: Obstacle) -> list[Note]:
    """The notes in the workers' reports, once there is a report and its notes are of these obstacles."""

    async def reported() -> list[Note] | None:
        reports = await crew.queue.reports.current()
        found = [note for report in reports for note in report.notes]
        return (found or [None]) if reports and [note.obstacle for note in found] == list(expected) else None

    return await crew.until(reported, f"{expected} in a report")


async def test_a_step_that_is_tried_again_is_noted_until_it_succeeds(crew):
    crew.executor.refusals += [REFUSED] * 1_000
    job = await crew.submit("hold")
    await crew.hire()
    (note,) = await noted(crew, Obstacle.REGISTRY)
    execution = await crew.latest_execution(job)
    assert (note.execution_id, note.epoch, note.words) == (execution.id, execution.epoch, str(REFUSED))
    assert note.since >= execution.placed_at
    assert note.until == execution.placed_at + 900_000
    crew.executor.refusals.clear()
    await crew.reaches(job, "running")
    await noted(crew)
    crew.executor.release(execution.id)
    await crew.cleaned(job)


async def test_a_host_that_is_away_is_noted_of_what_runs_there_until_it_is_back(crew):
    job = await crew.submit("hold")
    await crew.hire()
    execution = await crew.reaches(job, "running")
    await noted(crew)
    crew.executor.down(HOST)
    (note,) = await noted(crew, Obstacle.HOST_AWAY)
    assert (note.execution_id, note.epoch, note.until - note.since) == (execution.id, execution.epoch, 300_000)
    assert "refused the connection" in note.words
    crew.executor.up(HOST)
    await noted(crew)
    crew.executor.release(execution.id)
    await crew.cleaned(job)


async def test_a_worker_that_takes_over_notes_what_it_meets_itself(crew):
    crew.executor.refusals += [REFUSED] * 1_000
    job = await crew.submit()
    first = await crew.hire()
    await noted(crew, Obstacle.REGISTRY)
    await crew.hire()
    await crew.dismiss()

    async def taken_over() -> bool:
        others = [report for report in await crew.queue.reports.current() if report.worker != first.id]
        return any(note.epoch > 1 for report in others for note in report.notes)

    await crew.until(taken_over, "a note of the second owner")
    crew.executor.refusals.clear()
    await crew.cleaned(job)


# what becomes of it in an answer


def host(**known: Any) -> HostView:
    return HostView(HOST, True, swarm_id="swarm", **known)


async def why(server, reply):
    waits = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
    return [wait["reason"] for wait in waits], waits


async def test_an_answer_tells_what_the_owner_notes_and_no_earlier_one(server):
    reply = await server.enqueue()
    execution = await server.pull(reply)
    mine = Note(execution.id, 1, Obstacle.NO_NODE, "no suitable node (1 node is drained)", 1_700_000_000_000, 1_700_000_009_000)
    earlier, others = replace(mine, epoch=0, since=1_700_000_005_000), replace(mine, execution_id="another", obstacle=Obstacle.FAULT)
    await server.queue.reports.announce(Report("w", 1, (host(),), (earlier, others)), ttl=60_000)
    assert (await why(server, reply))[0] == ["image"]
    await server.queue.reports.announce(Report("x", 1, (host(),), (others, mine)), ttl=60_000)
    reasons, (wait,) = await why(server, reply)
    assert reasons == ["no-node"]
    assert "no suitable node (1 node is drained)" in wait["message"]
    assert (wait["since"], wait["until"]) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:29.000Z")
    taken = await server.store.change(transitions.take_over(execution))
    assert taken is not None
    assert (await why(server, reply))[0] == ["image"]


async def test_words_that_repeat_a_secret_are_told_without_it(server):
    reply = await server.enqueue(envs={"API_TOKEN": "s3cr3t-s3cr3t", "PLACE": "here"})
    execution = await server.pull(reply)
    note = Note(execution.id, 1, Obstacle.REGISTRY, "denied: s3cr3t-s3cr3t is wrong here", 1_700_000_000_000)
    await server.queue.reports.announce(Report("w", 1, (host(),), (note,)), ttl=60_000)
    _, (wait,) = await why(server, reply)
    assert "denied: ******** is wrong here" in wait["message"]


async def test_a_secret_with_lines_and_blanks_is_not_told_where_a_worker_shows_them_as_one_line(crew):
    secret = "horse  bat\n\ttery st"
    crew.executor.refusals += [RegistryDown(f"denied: {secret}, says r.example")] * 1_000
    reply = await crew.enqueue(envs={"PASSPHRASE": secret})
    await crew.hire()
    (note,) = await noted(crew, Obstacle.REGISTRY)
    assert note.words == "denied: horse bat tery st, says r.example"
    _, (wait,) = await why(crew, reply)
    assert "denied: ********, says r.example" in wait["message"]


# reports of other versions


@dataclass
class OlderView:
    """A host as an older worker writes it."""

    name: str
    usable: bool


@dataclass
class LaterView(OlderView):
    """As workers may write it one day."""

    rack: int


@dataclass
class OlderReport:
    """As workers that know of no notes write it."""

    worker: str
    started_at: int
    hosts: tuple[OlderView, ...]


@dataclass
class LaterReport(OlderReport):
    """As workers may write it one day."""

    notes: tuple[dict[str, Any], ...]
    mood: str = "fine"


async def test_reports_of_older_and_later_workers_are_read_as_far_as_they_are_known(server):
    reply = await server.enqueue()
    execution = await server.pull(reply)
    await server.queue.reports.announce(OlderReport("older", 1, (OlderView(HOST, True),)), ttl=60_000)
    assert (await why(server, reply))[0] == ["image"]
    known = {"execution_id": execution.id, "epoch": 1, "words": "in words", "since": 5, "until": None, "colour": "red"}
    told = ({**known, "obstacle": "no-network"}, {**known, "obstacle": "no-node"})
    await server.queue.reports.announce(LaterReport("later", 2, (LaterView(HOST, True, rack=7),), told), ttl=60_000)
    assert (await why(server, reply))[0] == ["no-node"]
    older, later = sorted(await server.queue.reports.current(), key=lambda report: report.started_at)
    assert older == Report("older", 1, (HostView(HOST, True),))
    assert later == Report("later", 2, (HostView(HOST, True),), (Note(execution.id, 1, Obstacle.NO_NODE, "in words", 5),))
    assert (await server.get("/status")).json["workers"]["alive"] == 2


async def test_the_largest_report_is_small(server, shared_redis):
    sentence = 'Get "https://registry.example.com/v2/": dial tcp 10.11.12.13:443: connect: connection refused'
    waiting = [Note(f"00000000-0000-0000-0000-{n:012}", 1, Obstacle.REGISTRY, verdict.shown(sentence * 9), n, n) for n in range(2_000)]
    await server.queue.reports.announce(Report("w", 1, (host(),), leases.oldest_notes(waiting)), ttl=60_000)
    (report,) = await server.queue.reports.current()
    assert len(report.notes) == leases.MAX_NOTES
    with shared_redis.client() as client:
        text = max(client.hvals(Keys(server.installation).reports), key=len)
    assert len(text) < 300_000


async def shown_running(server):
    (row,) = (await server.get("/status")).json["containers"]["running"]
    return row["error"]


async def docker_faults(server, headers=None):
    errors = (await server.get("/healthcheck", headers=headers or {})).json["errors"]
    return [error["message"] for error in errors if error["source"] == "docker"]


async def test_the_status_tells_what_the_owner_notes_of_its_node_and_no_earlier_one(server):
    execution = await server.run(await server.enqueue())
    down = Note(execution.id, execution.epoch, Obstacle.NODE_DOWN, "node3", 1_700_000_000_000, 1_700_000_009_000)
    await server.queue.reports.announce(Report("w", 1, (host(),), (down,)), ttl=60_000)
    assert (await shown_running(server)).startswith("its node node3 is down, and may come back; ")
    assert await server.store.change(transitions.take_over(execution)) is not None
    assert await shown_running(server) is None


async def test_status_and_health_tell_that_a_host_is_away_without_what_a_note_quotes(server):
    execution = await server.run(await server.enqueue(envs={"API_TOKEN": "s3cr3t-s3cr3t"}))
    note = Note(execution.id, execution.epoch, Obstacle.HOST_AWAY, "no: s3cr3t-s3cr3t", 1_700_000_000_000)
    away = replace(host(), name=execution.host, usable=False, reason="refused the connection")
    await server.queue.reports.announce(Report("w", 1, (away,), (note,)), ttl=60_000)
    assert await shown_running(server) == f"its host {execution.host} refused the connection"
    (health,) = [words for words in await docker_faults(server) if "cannot follow" in words]
    assert health == f"workers cannot follow 1 execution, whose host or node is away: {execution.id}: its host does not answer"


def test_health_names_the_ten_longest_waits():
    notes = tuple(Note(str(number), 1, Obstacle.NODE_DOWN, "node3", 1_700_000_000_000 + number) for number in range(12))
    fault = hanging_fault([Report("w", 1, (), notes)])
    assert fault is not None
    assert fault.message.startswith("workers cannot follow 12 executions, whose host or node is away: 0: its node node3 is down")
    assert "; 9: its node" in fault.message
    assert fault.message.endswith("; and 2 more")
    assert hanging_fault([Report("w", 1, (), notes[:10])]).message.count("its node") == 10
    assert fault.of_some == "workers cannot follow 12 executions, whose host or node is away"


async def test_health_tells_callers_of_some_tasks_no_ids_of_executions(shared_redis, tmp_path):
    tokens = (token("ann", "fl_ann", "read", "shop-.*"), token("root", "fl_root", "admin"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        note = Note("of-the-bank", 1, Obstacle.NODE_DOWN, "node3", 1_700_000_000_000)
        await server.queue.reports.announce(Report("w", 1, (host(),), (note,)), ttl=60_000)
        words = "workers cannot follow 1 execution, whose host or node is away"
        assert await docker_faults(server, bearer("fl_ann")) == [words]
        assert await docker_faults(server, bearer("fl_root")) == [f"{words}: of-the-bank: its node node3 is down, and may come back"]
