"""What a container gets of what its order asks for, seen from inside of it, and what is left when it is gone."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from fastlane.errors import OrderRefused
from fastlane.executors.port import EngineTask, Order, Phase, TaskEnd
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.container import Container, Mount, MountKind, Resources, Secret, Ulimit
from fastlane.models.pool import Pull
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all, task_in
from tests.support.waiting import until

PATIENCE = 60.0
KILL, NET_ADMIN, NET_RAW = 5, 12, 13
"""Bits of capabilities, from linux/capability.h."""
LOCKED: Any = {"hostname": "worker.lan", "read_only": True, "dns": ("10.0.0.53",)}
TRAPS = "trap 'echo ended; exit 9' USR1; echo begun; while :; do sleep 0.05; done"


@dataclass
class Bench:
    """An executor on an engine, and a client to look at that engine from outside."""

    executor: SwarmExecutor
    host: str
    installation: str
    api: docker.APIClient

    async def park(self, *command: str, resources: Resources | None = None, **options: Any) -> str:
        container = Container(**{"stop_grace": 5000, **options})
        made = Order(str(uuid4()), "task", "job", 1, 1, 0, command, {}, resources or Resources(), container)
        return await self.executor.park(self.host, made, await self.executor.resolve(self.host, IMAGE, Pull.MISSING))

    async def start(self, *command: str, **options: Any) -> str:
        service = await self.park(*command, **options)
        await self.executor.activate(self.host, service)
        return service

    async def reaches(self, service: str, phase: Phase) -> EngineTask:
        return await task_in(phase, self.executor, self.host, service)

    async def says(self, script: str, **options: Any) -> list[str]:
        """The lines that a shell's script prints, once it has ended well."""
        service = await self.start("sh", "-c", script, **options)
        task = await self.reaches(service, Phase.ENDED)
        text = self.api.logs(task.container_id).decode() if task.container_id else ""
        assert (task.end, task.exit_code) == (TaskEnd.EXITED, 0), (task, text)
        return text.splitlines()

    async def without_services(self, undo: Callable[[], object]) -> None:
        """Undoes something that services made use of, once the last of them has let go of it."""
        remove_all(self.host, self.installation)

        def undone() -> bool:
            with contextlib.suppress(docker.errors.APIError):
                undo()
                return True
            return False

        await until(undone, "its last user to let go of it", PATIENCE)

    async def running(self, service: str) -> dict[str, Any]:
        """The inspected container of a service that runs and has said so."""
        task = await self.reaches(service, Phase.RUNNING)
        await until(lambda: b"begun" in self.api.logs(task.container_id), "its word that it has begun", PATIENCE)
        found: dict[str, Any] = self.api.inspect_container(task.container_id)
        return found


@pytest.fixture
async def bench(engine: str) -> AsyncIterator[Bench]:
    installation, api = f"knobs-{uuid4().hex[:8]}", connect(engine)
    executor = default_executor([engine], installation, probe_every=0.2)
    await open_probed(executor)
    try:
        yield Bench(executor, engine, installation, api)
    finally:
        await executor.close()
        remove_all(engine, installation)
        api.close()


@pytest.fixture
async def overlay(bench: Bench) -> AsyncIterator[str]:
    """The name of an overlay network."""
    name = f"team-{uuid4().hex[:8]}"
    bench.api.create_network(name, driver="overlay")
    yield name
    await bench.without_services(lambda: bench.api.remove_network(name))


@pytest.fixture
async def secret(bench: Bench) -> AsyncIterator[str]:
    """The name of a secret."""
    name = f"token-{uuid4().hex[:8]}"
    made = bench.api.create_secret(name, b"s3cret {{.Node.ID}}")
    yield name
    await bench.without_services(lambda: bench.api.remove_secret(made["ID"]))


async def test_user_and_workdir(bench: Bench) -> None:
    assert await bench.says("id -u; id -g; pwd", user="1000:65534", workdir="/srv/{{x}}") == ["1000", "65534", "/srv/{{x}}"]
    assert await bench.says("id -u", user="nobody") == ["65534"]


async def test_an_init_process_stands_before_the_command_unless_it_is_not_wanted(bench: Bench) -> None:
    first = "tr '\\0' ' ' </proc/1/cmdline | cut -d' ' -f1; echo"
    assert "init" in (await bench.says(first))[0]
    assert (await bench.says(first, init=False))[0] == "sh"


async def test_mounts(bench: Bench, tmp_path: Path) -> None:
    folder, volume = tmp_path / "{{ .Node.ID }} x", f"knobs-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    (folder / "file").write_text("of the node\n")
    mounts = (
        Mount(MountKind.BIND, "/data", str(folder)),
        Mount(MountKind.BIND, "/read", str(folder), read_only=True),
        Mount(MountKind.VOLUME, "/volume", volume),
        Mount(MountKind.TMPFS, "/{{.Service.Name}}", size=1 << 20),
    )
    script = (
        "cat /data/file; echo written >/data/new; touch /read/no 2>/dev/null || echo refused; echo kept >/volume/file; "
        "grep -c '^tmpfs /{{.Service.Name}} .*size=1024k' /proc/mounts; grep -c ' /data .* shared:' /proc/self/mountinfo || true"
    )
    assert await bench.says(script, mounts=mounts) == ["of the node", "refused", "1", "0"]
    assert (folder / "new").read_text() == "written\n"
    assert await bench.says("cat /volume/file", mounts=mounts[2:3]) == ["kept"]
    await bench.without_services(lambda: bench.api.remove_volume(volume))


async def test_a_folder_that_the_node_does_not_have_is_not_made(bench: Bench, tmp_path: Path) -> None:
    service = await bench.start("true", mounts=(Mount(MountKind.BIND, "/data", str(tmp_path / "nowhere")),))
    task = await bench.reaches(service, Phase.ENDED)
    assert (task.end, task.container_id, task.exit_code) == (TaskEnd.REJECTED, None, None)
    assert "bind source path does not exist" in task.message
    assert not (tmp_path / "nowhere").exists()


async def test_extra_hosts(bench: Bench) -> None:
    lines = await bench.says("cat /etc/hosts", extra_hosts={"db.internal": "10.1.2.3", "six": "2001:db8::1"})
    assert {"10.1.2.3\tdb.internal", "2001:db8::1\tsix"} <= set(lines)


async def test_an_entry_point_takes_the_place_of_the_image_s_and_has_the_command_behind_it(bench: Bench) -> None:
    service = await bench.start("{{x}}", "b", entrypoint=("sh", "-c", 'echo "$0" "$1"; hostname; touch /x || exit 7'), **LOCKED)
    task = await bench.reaches(service, Phase.ENDED)
    assert task.container_id is not None
    assert (task.exit_code, bench.api.logs(task.container_id, stderr=False)) == (7, b"{{x}} b\nworker.lan\n")
    made = bench.api.inspect_service(service)["Spec"]["TaskTemplate"]["ContainerSpec"]
    assert (made["Hostname"], made["ReadOnly"], made["DNSConfig"]) == ("worker.lan", True, {"Nameservers": ["10.0.0.53"]})
    assert "nameserver 10.0.0.53" in await bench.says("cat /etc/resolv.conf", dns=("10.0.0.53",))


async def test_capabilities_kernel_parameters_and_ulimits(bench: Bench) -> None:
    script = "grep CapBnd /proc/self/status; cat /proc/sys/net/core/somaxconn; ulimit -Sn; ulimit -Hn; ulimit -Sc"
    limits = {"nofile": Ulimit(100, 200), "core": Ulimit(-1, -1)}
    options: dict[str, Any] = {"sysctls": {"net.core.somaxconn": "77"}, "ulimits": limits}
    usual, *others = await bench.says(script, **options)
    assert others == ["77", "100", "200", "unlimited"]
    bounds = [
        int((await bench.says(script, **options, cap_add=added, cap_drop=dropped))[0].split()[1], 16)
        for added, dropped in (((), ("NET_RAW",)), (("NET_ADMIN",), ()), (("KILL",), ("ALL",)))
    ]
    whole = int(usual.split()[1], 16)
    assert (whole >> NET_RAW & 1, whole >> NET_ADMIN & 1) == (1, 0)
    assert bounds == [whole & ~(1 << NET_RAW), whole | 1 << NET_ADMIN, 1 << KILL]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sysctls": {"kernel.pid_max": "4194303"}}, "kernel.pid_max"),
        ({"sysctls": {"net.core.somaxconn": "1"}, "networks": ("host",)}, "net.core.somaxconn"),
        ({"ulimits": {"nofile": Ulimit(2**62, 2**62)}}, "rlimit"),
    ],
)
async def test_what_a_node_does_not_let_a_container_set_is_the_job_s_failure_and_not_its_engine_s(
    bench: Bench, options: dict[str, Any], words: str
) -> None:
    task = await bench.reaches(await bench.start("true", **options), Phase.ENDED)
    assert words in task.message
    assert task.end in (TaskEnd.EXITED, TaskEnd.REJECTED), task


async def test_others_in_its_networks_find_a_container_by_its_host_name(bench: Bench, overlay: str) -> None:
    """Why a host name needs the policy, and no job has its service's."""
    service = await bench.start("sh", "-c", "echo begun; sleep 600", networks=(overlay,), hostname="db")
    address = (await bench.running(service))["NetworkSettings"]["Networks"][overlay]["IPAddress"]
    script = "for i in $(seq 100); do nslookup db 127.0.0.11 && break; sleep 0.2; done"
    assert address in " ".join(await bench.says(script, networks=(overlay,)))


async def test_secrets_are_files_that_every_user_of_the_container_can_read(bench: Bench, secret: str) -> None:
    script = (
        "cat /run/secrets/tok.en; echo; stat -c '%a %u' /run/secrets/tok.en; ls /run/secrets; grep -c ' /run/secrets/tok.en ' /proc/mounts"
    )
    lines = await bench.says(script, user="1000", secrets=(Secret(secret, "tok.en"),))
    assert lines == ["s3cret {{.Node.ID}}", "444 0", "tok.en", "1"]


async def test_networks_are_the_nodes_own_one_by_name_or_a_bridge_to_the_outside(bench: Bench, overlay: str) -> None:
    address = "ip -o -4 addr | awk '{print $2, $4}'"
    own = await bench.says(address)
    assert [line.split()[0] for line in own] == ["lo", "eth0"]
    hosts = await bench.says(address, networks=("host",))
    assert any(line.startswith("docker0 ") for line in hosts)
    service = await bench.start("sh", "-c", f"{address}; echo begun; sleep 600", networks=(overlay,))
    container = await bench.running(service)
    assert set(container["NetworkSettings"]["Networks"]) == {overlay}
    raw = bench.api.inspect_service(service)
    assert not raw["Endpoint"].get("Ports")
    assert not raw["Endpoint"].get("VirtualIPs")
    assert not container["HostConfig"]["PortBindings"]


async def test_limits_and_what_is_kept_free(bench: Bench) -> None:
    resources = Resources(cpus=0.5, memory=64 << 20, pids=40, reserve_cpus=0.1, reserve_memory=32 << 20)
    service = await bench.start("sh", "-c", "echo begun; sleep 600", resources=resources)
    config = (await bench.running(service))["HostConfig"]
    assert (config["NanoCpus"], config["Memory"], config["PidsLimit"]) == (500_000_000, 64 << 20, 40)
    assert [key for key in ("Privileged", "CapAdd", "Devices", "PortBindings", "PublishAllPorts") if config[key]] == []
    kept = bench.api.inspect_service(service)["Spec"]["TaskTemplate"]["Resources"]["Reservations"]
    assert kept == {"NanoCPUs": 100_000_000, "MemoryBytes": 32 << 20}


async def test_what_its_nodes_have_is_known_and_a_node_refuses_a_limit_above_its_processors_but_none_above_its_memory(bench: Bench) -> None:
    info = bench.api.info()
    (view,) = bench.executor.hosts()
    assert (view.node_cpus, view.node_memory) == (info["NCPU"], info["MemTotal"])
    assert view.shortage(Resources(cpus=info["NCPU"], memory=2 * info["MemTotal"])) is None
    assert await bench.says("echo yes", resources=Resources(cpus=info["NCPU"], memory=2 * info["MemTotal"])) == ["yes"]
    assert view.shortage(Resources(cpus=info["NCPU"] + 1)) is not None
    task = await bench.reaches(await bench.start("true", resources=Resources(cpus=info["NCPU"] + 1)), Phase.ENDED)
    assert task.end is TaskEnd.REJECTED
    assert "CPUs" in task.message


async def test_a_stop_sends_the_wanted_signal_and_waits_for_the_wanted_grace(bench: Bench) -> None:
    service = await bench.start("sh", "-c", TRAPS, stop_signal="SIGUSR1", stop_grace=30_000)
    await bench.running(service)
    await bench.executor.stop(bench.host, service)
    task = await bench.reaches(service, Phase.ENDED)
    assert (task.end, task.exit_code) == (TaskEnd.SHUTDOWN, 9)
    deaf = await bench.start("sh", "-c", "trap '' TERM; echo begun; while :; do sleep 0.05; done", stop_grace=0)
    await bench.running(deaf)
    await bench.executor.stop(bench.host, deaf)
    task = await bench.reaches(deaf, Phase.ENDED)
    assert (task.end, task.exit_code) == (TaskEnd.SHUTDOWN, 137)


async def test_a_stop_adds_to_the_constraints_that_were_asked_for(bench: Bench) -> None:
    service = await bench.start("sh", "-c", TRAPS, stop_signal="SIGUSR1", constraints=("node.role == manager",))
    await bench.running(service)
    await bench.executor.stop(bench.host, service)
    task = await bench.reaches(service, Phase.ENDED)
    assert (task.end, task.exit_code) == (TaskEnd.SHUTDOWN, 9)
    nowhere = await bench.start("true", constraints=("node.labels.disk==quick",))

    async def says_why() -> bool:
        return "no suitable node" in (await bench.reaches(nowhere, Phase.WAITING)).message

    await until(says_why, "the reason why it waits", PATIENCE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"secrets": (Secret("no-such-secret", "x"),)},
            "the swarm has no secret named 'no-such-secret'; make it on a manager: docker secret",
        ),
        ({"networks": ("no-such-net", "none")}, "the swarm has no network named 'no-such-net', 'none'"),
        ({"networks": ("ingress",)}, "the swarm has no network named 'ingress'"),
        ({"constraints": ("nonsense",)}, "constraint expected one operator"),
        ({"resources": Resources(memory=1024)}, "invalid memory value"),
    ],
)
async def test_what_the_swarm_does_not_have_or_will_not_take_is_refused_with_what_to_do(
    bench: Bench, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OrderRefused) as caught:
        await bench.park("true", **options)
    assert words in str(caught.value)
    assert list(await bench.executor.services(bench.host)) == []


async def test_what_went_away_since_it_was_looked_up_is_refused_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastlane.executors.swarm.spec.NODES_OWN", frozenset({"none"}))  # of such a network an engine says 404
    with pytest.raises(OrderRefused, match="network none not found"):
        await bench.park("true", networks=("none",))


async def test_a_network_or_a_secret_is_known_by_its_whole_name_and_never_by_its_id(bench: Bench, overlay: str, secret: str) -> None:
    (network,) = bench.api.networks(names=[overlay])
    (stored,) = bench.api.secrets(filters={"name": secret})
    for id in (network["Id"], network["Id"][:12], overlay[:-1]):
        with pytest.raises(OrderRefused, match="has no network named"):
            await bench.park("true", networks=(id,))
    for id in (stored["ID"], secret[:-1]):
        with pytest.raises(OrderRefused, match="has no secret named"):
            await bench.park("true", secrets=(Secret(id, "x"),))


async def test_nothing_stays_on_the_host_but_what_was_there(bench: Bench, overlay: str, secret: str) -> None:
    def there() -> tuple[set[str], set[str], set[str]]:
        return (
            {row["Id"] for row in bench.api.networks()},
            {row["Name"] for row in bench.api.volumes()["Volumes"] or []},
            {row["ID"] for row in bench.api.secrets()},
        )

    before = there()
    options = {
        "networks": (overlay,),
        "secrets": (Secret(secret, "x"),),
        "mounts": (Mount(MountKind.TMPFS, "/scratch"),),
        "extra_hosts": {"db": "10.0.0.1"},
    }
    service = await bench.start("true", **options)
    await bench.reaches(service, Phase.ENDED)
    await bench.executor.remove(bench.host, service)
    left = {"label": f"com.docker.swarm.service.id={service}"}
    await until(lambda: not bench.api.containers(all=True, filters=left), "its container to be gone", PATIENCE)
    networks, volumes, secrets = there()
    assert (networks - before[0], volumes - before[1], secrets - before[2]) == (set(), set(), set())
    assert bench.api.networks(names=[overlay])
    assert bench.api.secrets(filters={"name": secret})
