"""What an engine's tasks mean: the rows of the table of states, and what is told of their times."""

from typing import Any

import pytest

from fastlane.clock import iso
from fastlane.executors.port import Phase, TaskEnd
from fastlane.executors.swarm.clocks import Clocks, leader_of
from fastlane.executors.swarm.states import NodeDetails, by_service, node_details, node_states, task_view, task_views, with_times

NODES = {"n1": "ready", "n2": "down"}
AT = "2026-11-25T13:02:35.347785353Z"
EVICTED = "assigned node no longer meets constraints"
AT_MS = 1_795_611_755_347


def task(state: str, err: str = "", code: int | None = None, *, node: str = "n1", id: str = "t", created: str = AT) -> dict[str, Any]:
    status: dict[str, Any] = {"Timestamp": AT, "State": state, "Message": "told", "Err": err}
    if code is not None:
        status["ContainerStatus"] = {"ContainerID": "c", "PID": 0, "ExitCode": code}
    return {"ID": id, "ServiceID": "s", "NodeID": node, "CreatedAt": created, "Status": status}


def container(*, oom: bool = False, started: str = AT, finished: str = AT) -> dict[str, Any]:
    return {"State": {"OOMKilled": oom, "StartedAt": started, "FinishedAt": finished}}


NO_ENDPOINT = "failed to set up container networking: failed to create endpoint fastlane-e.1 on network bridge: adding interface failed"
BAD_USER = "unable to find user nosuch: no matching entries in passwd file"
BAD_OPTION = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: memory"
SILENT_RUNTIME = "failed to create shim task: OCI runtime create failed: runc did not terminate successfully: exit status 1"


@pytest.mark.parametrize(
    ("raw", "end", "code"),
    [
        (task("complete", code=0), TaskEnd.EXITED, 0),
        (task("failed", "task: non-zero exit (3)", 3), TaskEnd.EXITED, 3),
        (task("failed", "task: non-zero exit (143)", 143), TaskEnd.EXITED, 143),
        (task("failed", "task: non-zero exit (255)", 255), TaskEnd.EXITED, 255),
        (task("failed", "task: non-zero exit (137)", 137), TaskEnd.KILLED, 137),
        (task("failed", "starting container failed: no such file", 127), TaskEnd.EXITED, 127),
        (task("failed", "starting container failed: context canceled", 128), TaskEnd.SHUTDOWN, None),
        (task("failed", f"starting container failed: {NO_ENDPOINT}", 128), TaskEnd.ENGINE, None),
        (task("failed", "starting container failed: failed to create task for container: ttrpc: closed", 128), TaskEnd.ENGINE, None),
        (task("failed", f"starting container failed: {BAD_USER}", 128), TaskEnd.EXITED, 128),
        (task("failed", f"starting container failed: {BAD_OPTION}", 128), TaskEnd.EXITED, 128),
        (task("failed", f"starting container failed: {SILENT_RUNTIME}", 128), TaskEnd.ENGINE, None),
        (task("failed", f"starting container failed: {SILENT_RUNTIME}: no such option", 128), TaskEnd.EXITED, 128),
        (task("failed", f"task: non-zero exit (128): {NO_ENDPOINT}", 128), TaskEnd.EXITED, 128),
        (task("failed", "No such container: c", 0), TaskEnd.KILLED, None),
        (task("failed", "No such container: c"), TaskEnd.KILLED, None),
        (task("failed", "odd", -1), TaskEnd.KILLED, None),
        (task("rejected", "No such image: nosuch:1"), TaskEnd.IMAGE, None),
        (task("rejected", "pull access denied for x, repository does not exist or may require 'docker login'"), TaskEnd.IMAGE, None),
        (task("rejected", "manifest for x:1 not found: manifest unknown"), TaskEnd.IMAGE, None),
        (task("rejected", "no matching manifest for linux/amd64 in the manifest list entries"), TaskEnd.IMAGE, None),
        (task("rejected", "invalid mount config"), TaskEnd.REJECTED, None),
        (task("rejected", "failed to create a network: context canceled"), TaskEnd.SHUTDOWN, None),
        (task("rejected", EVICTED, 0), TaskEnd.SHUTDOWN, None),
        (task("shutdown", code=143), TaskEnd.SHUTDOWN, 143),
        (task("shutdown", code=0), TaskEnd.SHUTDOWN, 0),
        (task("shutdown"), TaskEnd.SHUTDOWN, None),
        (task("orphaned", code=0), TaskEnd.LOST, None),
        (task("remove", code=0), TaskEnd.SHUTDOWN, None),
    ],
)
def test_a_task_that_ended(raw: dict[str, Any], end: TaskEnd, code: int | None) -> None:
    view = task_view(raw, NODES)
    assert (view.phase, view.end, view.exit_code) == (Phase.ENDED, end, code)
    assert view.finished_at == view.changed_at == AT_MS


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        *((state, Phase.WAITING) for state in ("new", "allocated", "pending", "assigned", "accepted")),
        *((state, Phase.PREPARING) for state in ("preparing", "ready", "starting")),
        ("running", Phase.RUNNING),
        ("something new", Phase.UNKNOWN),
    ],
)
def test_a_task_that_has_not_ended(state: str, phase: Phase) -> None:
    view = task_view(task(state, code=0), NODES)
    assert (view.phase, view.end, view.exit_code, view.finished_at) == (phase, None, None, None)
    assert view.started_at == (AT_MS if phase is Phase.RUNNING else None)


@pytest.mark.parametrize("node", ["n2", "gone"])
def test_a_task_on_a_node_that_is_not_ready_is_unknown_unless_it_has_ended(node: str) -> None:
    assert task_view(task("running", code=0, node=node), NODES).phase is Phase.UNKNOWN
    assert task_view(task("preparing", node=node), NODES).phase is Phase.UNKNOWN
    assert task_view(task("complete", code=0, node=node), NODES).phase is Phase.ENDED


def test_a_task_without_a_node_waits() -> None:
    view = task_view(task("pending", "no suitable node (…)", node=""), NODES)
    assert (view.phase, view.node_id, view.message) == (Phase.WAITING, None, "no suitable node (…)")


def test_the_words_of_a_node_do_not_quote_the_value_of_a_variable() -> None:
    view = task_view(task("rejected", 'expanding env "PASSWORD=hunter22": no such label'), NODES)
    assert view.message == 'expanding env "PASSWORD=…": no such label'


def test_memory_that_ran_out_is_told_by_the_container_alone() -> None:
    raw = task("failed", "task: non-zero exit (137)", 137)
    assert task_view(raw, NODES, container(oom=True)).end is TaskEnd.OOM
    assert task_view(raw, NODES, container()).end is TaskEnd.KILLED


@pytest.mark.parametrize(
    ("code", "late", "rejoined", "end", "told"),
    [
        (143, 700, 100, TaskEnd.KILLED, 143),
        (255, 700, 100, TaskEnd.KILLED, None),
        (255, 700, -100, TaskEnd.KILLED, None),
        (143, 100, 50, TaskEnd.EXITED, 143),
        (255, 100, 50, TaskEnd.EXITED, 255),
        (143, 700, -100_000, TaskEnd.EXITED, 143),
        (255, 700, -100_000, TaskEnd.EXITED, 255),
        (3, 700, 100, TaskEnd.EXITED, 3),
        (137, 700, 100, TaskEnd.KILLED, 137),
    ],
)
def test_an_end_that_the_engine_noted_after_it_had_come_back(code: int, late: int, rejoined: int, end: TaskEnd, told: int | None) -> None:
    """A dockerd that is killed ends what it left as it comes back; what ended meanwhile it calls 255. ``late`` and ``rejoined``:
    milliseconds from the container's end to the note of it, and from that note to the change of the node."""
    raw, known = task("failed", f"task: non-zero exit ({code})", code), container(finished=iso(AT_MS - late))
    view = task_view(raw, NODES, known, NodeDetails(changed_at=AT_MS + rejoined))
    assert (view.end, view.exit_code) == (end, told)
    assert task_view(raw, NODES, known).exit_code == task_view(raw, NODES, None, NodeDetails(changed_at=AT_MS)).exit_code == code


def evicted(status: str, code: int, **more: Any) -> dict[str, Any]:
    return {"State": {"Status": status, "Running": status == "running", "ExitCode": code, "StartedAt": AT, "FinishedAt": AT, **more}}


@pytest.mark.parametrize(
    ("known", "lingering", "code"),
    [
        (None, True, None),
        (evicted("running", 0), True, None),
        (evicted("exited", 5), False, 5),
        (evicted("exited", 0), False, 0),
        (evicted("created", 128, StartedAt="0001-01-01T00:00:00Z", FinishedAt="0001-01-01T00:00:00Z"), False, None),
    ],
)
def test_of_a_task_that_was_evicted_only_its_container_tells_the_end(
    known: dict[str, Any] | None, lingering: bool, code: int | None
) -> None:
    view = task_view(task("rejected", EVICTED, 0), NODES, known)
    assert (view.phase, view.end, view.lingering, view.exit_code) == (Phase.ENDED, TaskEnd.SHUTDOWN, lingering, code)


def test_what_ends_otherwise_does_not_linger() -> None:
    for raw in (task("rejected", "No such image: x"), task("shutdown", code=143), task("failed", "", 1), task("running", code=0)):
        assert not task_view(raw, NODES).lingering


def test_a_task_on_a_drained_node_says_so() -> None:
    raws = [
        {"ID": "n1", "Spec": {"Availability": "drain"}, "UpdatedAt": AT},
        {"ID": "n2", "Spec": {"Availability": "active"}},
        {"ID": "n3"},
    ]
    details = node_details(raws)
    assert details == {"n1": NodeDetails(drained=True, changed_at=AT_MS), "n2": NodeDetails(), "n3": NodeDetails()}
    views = task_views([task("shutdown", code=0, id="a"), task("shutdown", code=0, id="b", node="n2")], NODES, details=details)
    assert [view.drained for view in views] == [True, False]


def test_the_containers_own_times_are_used_where_they_are_known() -> None:
    known = container(started="2026-11-25T13:02:30.1Z", finished="2026-11-25T13:02:35.25Z")
    view = task_view(task("complete", code=0), NODES, known)
    assert (view.started_at, view.finished_at, view.changed_at) == (1_795_611_750_100, 1_795_611_755_250, AT_MS)


def test_an_end_that_the_engine_noted_before_the_start_is_not_before_it() -> None:
    known = container(started="2026-11-25T13:02:35.002Z", finished="2026-11-25T13:02:35.001Z")
    view = task_view(task("complete", code=0), NODES, known)
    assert view.finished_at == view.started_at


def test_a_container_that_never_started_has_no_start_and_a_shutdown_then_no_exit_code() -> None:
    zero = "0001-01-01T00:00:00Z"
    view = task_view(task("shutdown", code=0), NODES, container(started=zero, finished=zero))
    assert (view.started_at, view.exit_code, view.finished_at) == (None, None, AT_MS)
    assert task_view(task("failed", "starting container failed: …", 127), NODES).started_at is None


def test_tasks_come_in_order_of_creation_and_by_service() -> None:
    late, early = task("pending", id="a", created="2026-11-25T13:02:36Z"), task("shutdown", id="b", created="2026-11-25T13:02:35Z")
    assert [view.id for view in task_views([late, early], NODES)] == ["b", "a"]
    other = {**task("running", code=0, id="c"), "ServiceID": "s2"}
    assert {service: [view.id for view in views] for service, views in by_service([late, other, early], NODES).items()} == {
        "s": ["b", "a"],
        "s2": ["c"],
    }


def test_a_nodes_state() -> None:
    assert node_states([{"ID": "n1", "Status": {"State": "ready"}}, {"ID": "n2"}]) == {"n1": "ready", "n2": "unknown"}


# clocks

HOUR = 3_600_000


def test_times_of_a_node_and_of_a_manager_are_told_by_our_clock() -> None:
    clocks = Clocks({"n1": HOUR, "n2": -HOUR}, leader=5_000)
    view = task_view(task("complete", code=0), NODES, container(), clocks=clocks)
    assert (view.started_at, view.finished_at, view.changed_at) == (AT_MS - HOUR,) * 3
    view = task_view(task("complete", code=0, node="n2"), NODES, clocks=clocks)
    assert (view.started_at, view.finished_at, view.changed_at) == (AT_MS + HOUR,) * 3
    for raw in (task("pending", node=""), task("assigned"), task("orphaned", code=0), task("rejected", EVICTED, 0)):
        assert task_view(raw, NODES, clocks=clocks).changed_at == AT_MS - 5_000


@pytest.mark.parametrize(
    ("heard", "ahead"),
    [
        ("2026-11-25T13:02:35.4Z", 0),
        ("2026-11-25T13:02:34.5Z", 0),
        ("2026-11-25T13:03:35.347785353Z", -60_000),
        ("2026-11-25T13:01:35.347785353Z", 60_000),
        ("", 0),
    ],
)
def test_a_clock_that_was_not_measured_shows_in_when_the_leader_heard_of_it(heard: str, ahead: int) -> None:
    raw = task("running", code=0) | {"UpdatedAt": heard}
    assert task_view(raw, NODES, clocks=Clocks(leader=2_000)).started_at == AT_MS - 2_000 - ahead
    assert task_view(raw, NODES, clocks=Clocks({"n1": 7}, leader=2_000)).started_at == AT_MS - 7


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_an_end_that_its_engine_missed_shows_although_its_clock_is_wrong(ahead: int) -> None:
    """The node came back, and changed, a minute after the container's end."""
    raw = task("failed", "task: non-zero exit (143)", 143)
    finished = container(finished="2026-11-25T13:02:34Z")
    for changed, end in ((AT_MS, TaskEnd.KILLED), (AT_MS - 2_000, TaskEnd.EXITED)):
        node = NodeDetails(changed_at=changed - ahead)
        view = task_view(raw, NODES, finished, node, Clocks({"n1": 0}, leader=-ahead))
        assert view.end is end


def test_the_leader_is_the_node_that_says_so() -> None:
    nodes = [{"ID": "a"}, {"ID": "b", "ManagerStatus": {"Reachability": "reachable"}}, {"ID": "c", "ManagerStatus": {"Leader": True}}]
    assert leader_of(nodes) == "c"
    assert leader_of(nodes[:2]) is None


@pytest.mark.parametrize(
    ("raw", "end", "code"),
    [
        (task("rejected", "write /var/lib/docker/overlay2/x/.tmp: no space left on device"), TaskEnd.NO_SPACE, None),
        (task("failed", "starting container failed: mkdir /x: no space left on device", 128), TaskEnd.NO_SPACE, None),
        (task("failed", "task: non-zero exit (1): no space left on device", 1), TaskEnd.EXITED, 1),
        (task("rejected", "invalid mount config"), TaskEnd.REJECTED, None),
        (task("preparing", "no space left on device"), None, None),
    ],
)
def test_a_node_whose_disk_is_full_refuses_or_does_not_start_the_container(
    raw: dict[str, Any], end: TaskEnd | None, code: int | None
) -> None:
    view = task_view(raw, NODES)
    assert (view.end, view.exit_code) == (end, code)


ZERO = "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("state", "shown", "finished"),
    [
        ("running", {"Running": True, "StartedAt": AT, "FinishedAt": ZERO}, None),
        ("running", {"Running": True, "StartedAt": AT, "FinishedAt": AT}, None),
        ("running", {"Running": False, "StartedAt": AT, "FinishedAt": AT}, AT_MS),
        ("complete", {"Running": False, "StartedAt": AT, "FinishedAt": AT}, AT_MS),
        ("complete", {"Running": False, "StartedAt": AT, "FinishedAt": ZERO}, AT_MS),
    ],
    ids=["runs", "was started again", "has ended before its task", "has ended", "does not say when it ended"],
)
def test_a_container_tells_its_times(state: str, shown: dict[str, Any], finished: int | None) -> None:
    told = with_times(task_view(task(state, code=0), NODES), {"State": shown}, skew=0)
    assert (told.started_at, told.finished_at) == (AT_MS, finished)
