"""Jobs that run as the container of a service: what they have of it, what they must not have, and who may do it."""

import hashlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from fastlane.config.access import hash_token, make_token
from tests.support.credentials import bearer
from tests.support.engine import IMAGE, connect
from tests.support.engine_views import DockerEngine
from tests.support.installation import LINGER, Installation, installed
from tests.support.waiting import wait_until

SECRET = "the password of the shop"


@dataclass
class Shop:
    """An installation with a pool for each of two teams, and the services of both on its engine."""

    fastlane: Installation
    engine: DockerEngine
    prefix: str
    tokens: dict[str, str]

    @property
    def web(self) -> str:
        """The service of the one team, which has no replicas."""
        return f"{self.prefix}-shop_web"

    @property
    def bank(self) -> str:
        """The service of the other team."""
        return f"{self.prefix}-bank_vault"

    def post(self, task: str, body: dict[str, Any], team: str | None = None) -> Any:
        headers = {} if team is None else bearer(self.tokens[team])
        return self.fastlane.request("POST", f"/tasks/{task}", body, headers)

    def runs(self, script: str, **fields: Any) -> dict[str, Any]:
        """Runs a script as the one team's service. The enqueue reply."""
        answer = self.post("shop-job", {"service": self.web, "command": ["sh", "-c", script + LINGER], **fields})
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    def says(self, script: str, **fields: Any) -> list[str]:
        """The lines that a script prints as the one team's service."""
        reply = self.runs(script, **fields)
        ended = self.fastlane.ends(reply)
        assert ended["status"] == "done", ended
        return self.fastlane.output(reply).decode().splitlines()

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = getattr(connect(self.engine.url), f"inspect_{kind}")(name)
        return found


@pytest.fixture(scope="module")
def shop(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    prefix = f"sv{uuid.uuid4().hex[:6]}"
    docker, folder = DockerEngine(engine), tmp_path_factory.mktemp("shop")
    for kind in ("secret", "config"):
        content = SECRET if kind == "secret" else "the config"
        subprocess.run(["docker", "-H", engine, kind, "create", f"{prefix}-{kind}", "-"], input=content.encode(), check=True, timeout=60)
    docker.docker("network", "create", "-d", "overlay", f"{prefix}-net")
    docker.docker(
        *("service", "create", "-d", "--no-resolve-image", "--name", f"{prefix}-shop_web", "--replicas", "0"),
        *("--label", f"com.docker.stack.namespace={prefix}", "--container-label", "team=shop", "--hostname", "web-{{.Task.Slot}}"),
        *("--env", f"DB_PASSWORD={SECRET}", "--env", "LEVEL=info", "--env", "NODE={{.Node.ID}}", "--env", "FASTLANE_TASK_ID=mine"),
        *("--secret", f"source={prefix}-secret,target=db,mode=0444", "--config", f"source={prefix}-config,target=/etc/shop.conf"),
        *("--network", f"name={prefix}-net,alias=db", "--mount", "type=tmpfs,target=/scratch", "--user", "1000:1000", "--workdir", "/srv"),
        *("--limit-memory", "64m", "--limit-cpu", "1", "--publish", "target=80", "--health-cmd", "false", "--health-interval", "1s"),
        *("--constraint", "node.role==manager", "--host", "legacy:10.1.2.3", "--stop-grace-period", "3s", "--read-only"),
        *("--restart-condition", "any", "--update-order", "start-first", IMAGE, "sleep", "1000000"),
    )
    docker.docker("service", "create", "-d", "--no-resolve-image", "--name", f"{prefix}-bank_vault", "--replicas", "0", IMAGE, "true")
    tokens = {team: make_token() for team in ("shop", "bank")}
    pools = [
        {"name": team, "match": f"{team}-", "hosts": [engine], "services": [f"{prefix}-{team}_*"], "limits": {"pids": 300, "memory": "1g"}}
        for team in tokens
    ]
    pools.append({"name": "default", "match": "", "hosts": [engine]})
    rows = [{"name": team, "token": hash_token(token), "role": "run", "tasks": f"{team}-"} for team, token in tokens.items()]
    admin = make_token()
    rows.append({"name": "admin", "token": hash_token(admin), "role": "admin"})
    settings = {"POOLS": json.dumps(pools), "TOKENS": json.dumps(rows)}
    try:
        with installed(folder, engine, **settings) as fastlane:
            fastlane.token = admin
            fastlane.serve("up")
            fastlane.until_healthy()
            yield Shop(fastlane, docker, prefix, tokens)
    finally:
        docker.docker("service", "rm", f"{prefix}-shop_web", f"{prefix}-bank_vault")


def test_a_job_has_what_a_container_of_its_service_would_have(shop: Shop) -> None:
    script = """printf %s "$DB_PASSWORD" | md5sum; md5sum </run/secrets/db; echo $LEVEL $OWN $NODE $FASTLANE_TASK_ID; id -u; pwd
        cat /etc/shop.conf; echo; grep -c ' /scratch tmpfs' /proc/mounts; grep -o 10.1.2.3 /etc/hosts
        touch /x 2>/dev/null || echo refused"""
    (node,) = shop.engine.docker("node", "ls", "-q").split()
    digest = hashlib.md5(SECRET.encode()).hexdigest()
    wanted = [
        f"{digest}  -",
        f"{digest}  -",
        f"debug {{{{.Node.ID}}}} {node} shop-job",
        "1000",
        "/srv",
        "the config",
        "1",
        "10.1.2.3",
        "refused",
    ]
    assert shop.says(script, envs={"LEVEL": "debug", "OWN": "{{.Node.ID}}"}) == wanted


def test_its_service_is_recorded_and_stands_apart_from_it(shop: Shop) -> None:
    reply = shop.runs("trap 'exit 7' TERM; echo begun; while :; do sleep 0.1; done", resources={"cpus": 0.5})
    running = shop.fastlane.reaches(reply, "running")
    shop.fastlane.has_written(reply, b"begun\n")
    of_shop, own = shop.inspect("service", shop.web), shop.inspect("service", running["serviceId"])
    assert (running["service"], running["serviceVersion"]) == (shop.web, {"id": of_shop["ID"], "version": of_shop["Version"]["Index"]})
    assert running["image"] == running["imageDigest"] == own["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    template = own["Spec"]["TaskTemplate"]
    assert template["Resources"]["Limits"] == {"NanoCPUs": 500_000_000, "MemoryBytes": 64 << 20, "Pids": 300}
    assert [network.keys() for network in template["Networks"]] == [{"Target"}]  # no alias: nobody finds it in the service's place
    assert template["Networks"][0]["Target"] == of_shop["Spec"]["TaskTemplate"]["Networks"][0]["Target"]
    assert template["Placement"]["Constraints"] == ["node.role==manager"]
    assert (template["RestartPolicy"]["Condition"], template["ContainerSpec"]["Healthcheck"]["Test"]) == ("none", ["NONE"])
    assert "Labels" not in template["ContainerSpec"]
    assert "Ports" not in own["Spec"]["EndpointSpec"]
    assert {name.partition(".")[0] for name in own["Spec"]["Labels"]} == {"fastlane"}
    shop.fastlane.stop(reply)
    assert (shop.fastlane.ends(reply)["status"], shop.fastlane.execution(reply)["exitCode"]) == ("stopped", 7)
    after = shop.inspect("service", shop.web)
    assert (after["Version"], after["Spec"]) == (of_shop["Version"], of_shop["Spec"])


def test_each_start_reads_the_service_as_it_is_then_and_nothing_stores_its_values(shop: Shop) -> None:
    reply = shop.runs("echo $COLOUR", manual=True)
    run = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/run"
    versions = []
    for colour in ("red", "green"):
        shop.engine.docker("service", "update", "-d", "--no-resolve-image", "--env-add", f"COLOUR={colour}", shop.web)
        ran = shop.fastlane.post(run).json
        assert shop.fastlane.ends(ran)["executionId"] == ran["executionId"]
        execution = shop.fastlane.get(urlsplit(ran["executionUrl"]).path).json["execution"]
        assert (execution["status"], execution["log"]) == ("done", f"{colour}\n"), execution
        versions.append(execution["serviceVersion"]["version"])
    assert versions[0] < versions[1]
    shop.engine.docker("service", "update", "-d", "--no-resolve-image", "--env-rm", "COLOUR", shop.web)
    stored = [path for path in shop.fastlane.folder.rglob("*") if path.is_file()]
    assert {"fastlane.db", "up.log"} <= {path.name for path in stored}
    assert [path for path in stored if SECRET.encode() in path.read_bytes()] == []
    for path in (f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}", "/executions", "/events", "/status"):
        assert SECRET.encode() not in shop.fastlane.get(path).body


def test_a_service_that_is_gone_ends_the_execution_as_rejected(shop: Shop) -> None:
    answer = shop.post("shop-job", {"service": f"{shop.prefix}-shop_gone", "retries": 3})
    ended = shop.fastlane.ends(answer.json)
    assert (ended["status"], ended["failure"]["reason"], ended["attempt"]) == ("failed", "rejected", 1)
    assert f"has a service named '{shop.prefix}-shop_gone'; deploy it" in ended["failure"]["message"]


def test_a_user_of_one_team_does_not_reach_the_services_of_another(shop: Shop) -> None:
    id = shop.inspect("service", shop.web)["ID"]
    own = {"service": shop.bank, "manual": True}
    assert shop.post("bank-job", own, "bank").status == 200
    refused: list[tuple[str, dict[str, Any], int]] = [
        ("bank-job", {"service": shop.web}, 403),  # the service itself
        ("shop-job", {"service": shop.web}, 403),  # by a task of the other team
        ("bank-job", {"service": id}, 403),  # an engine also finds it by its id
        ("bank-job", {"service": id[:12]}, 403),
        ("bank-job", {"service": shop.web.upper()}, 403),
        ("bank-job", {"service": f"{shop.bank}/../{shop.web}"}, 400),
        ("bank-job", {"service": f"{shop.bank}?x={shop.web}"}, 400),
        ("bank-job", {"service": "{{.Service.Name}}"}, 400),
        ("bank-job", {"service": "$WHICH", "parameters": {"WHICH": {"default": shop.web}}, "manual": True}, 400),
        ("bank-job", {"service": shop.bank, "container": {"secrets": [f"{shop.prefix}-secret"]}}, 403),  # the policy still counts
        ("bank-job", {"service": shop.bank, "container": {"networks": [f"{shop.prefix}-net"]}}, 403),
        ("bank-job", {"image": IMAGE, "service": shop.web}, 400),
    ]
    for task, body, status in refused:
        assert (body, shop.post(task, body, "bank").status) == (body, status)
    job = urlsplit(shop.post("bank-job", own, "bank").json["jobUrl"]).path
    for method, body in (("PATCH", {"service": shop.web}), ("PUT", {"service": shop.web, "manual": True})):
        assert shop.fastlane.request(method, job, body, bearer(shop.tokens["bank"])).status == 403
    ran = urlsplit(
        shop.post("bank-job", {"service": shop.bank, "command": "env", "envs": {"A": "{{.Service.Labels}}"}}, "bank").json["jobUrl"]
    ).path
    wait_until(lambda: shop.fastlane.get(ran).json["job"]["status"] == "done", "the end of the bank's own job")
    assert b"A={{.Service.Labels}}\n" in shop.fastlane.get(f"{ran}/stdout").body
