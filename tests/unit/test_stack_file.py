"""swarm-stack.yml and the files that it names, as far as they can be checked without a swarm."""

import asyncio
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml
from aiohttp import web
from yarl import URL

from fastlane.config.access import TOKENS, token_digest
from fastlane.config.settings import SETTINGS
from fastlane.executors.swarm.executor import OF_SERVICES
from fastlane.models.access import Role
from tests.support.checkout import plain_environment, unpinned
from tests.support.docs import ROOT, blocks, commands_in, section
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.texts

STACK = (ROOT / "swarm-stack.yml").read_text()
MONITORING = (ROOT / "stack/monitoring.yml").read_text()
BOTH = STACK + MONITORING
INSTALL = ROOT / "docs/install.md"
PAGE = INSTALL.read_text()
DOCKER = """#!/bin/sh
case "$1 $2" in
"run --rm") exec "$PYTHON" -m fastlane token ;;
"secret create") exec cat > "$3" ;;
esac
"""
"""Docker, of which the page's commands want a token and that it keeps secrets."""
CONFIG = """#!/bin/bash
[ "$1 $2 $3, ${{@: -1}}" = "stack deploy --with-registry-auth, fastlane" ] && exec {docker} stack config "${{@:4:$#-4}}"
"""
"""Docker, which shows what it would deploy."""
SERVICES = yaml.safe_load(STACK)["services"]
HAND_OVER = 10
"""Seconds that a process takes to end in order, at most: twice the 5 s of docs/operations.md."""


@pytest.mark.parametrize("file", ["engine-filter.cfg", "mongo-health.js", "fastlane.toml", "one-node.toml"])
def test_a_config_s_name_changes_with_its_content(file):
    files = STACK + (ROOT / "stack/one-node.yml").read_text()
    found = re.search(rf"name: fastlane-\S+-([0-9a-f]{{8}})\}}?\n    file: \S*\./stack/{re.escape(file)}\}}?\n", files)
    assert found, f"the stack has no config of stack/{file}"
    assert found[1] == sha256((ROOT / "stack" / file).read_bytes()).hexdigest()[:8], f"give the config of stack/{file} its new name"


def test_the_page_creates_every_secret_that_the_stack_needs():
    needed = set(re.findall(r"^  (\w+): \{external: true\}$", BOTH, re.MULTILINE))
    created = set(re.findall(r"docker secret create (\w+) -", PAGE))
    assert needed == created - {"fastlane_tokens_2"}
    used = re.findall(r"/run/secrets/(\w+)", BOTH + (ROOT / "stack/prometheus.yml").read_text())
    assert needed == set(used) - {"fastlane_users", "fastlane_smtp_password"}


def test_every_setting_that_the_stack_names_is_documented():
    named = set(re.findall(r"\bFASTLANE_([A-Z_]+):", STACK))
    settings = {setting.name.upper() for setting in SETTINGS}
    secrets = {f"{setting.name.upper()}_FILE" for setting in SETTINGS if setting.secret}
    assert {"SMTP_HOST", "SMTP_PASSWORD_FILE"} <= named
    assert named <= settings | secrets | {"CONFIG"}
    page = (ROOT / "docs/configuration.md").read_text()
    assert all(f"`{name.removesuffix('_FILE').lower()}`" in page for name in named - {"CONFIG"})


def test_every_label_that_the_stack_asks_for_is_set_by_the_page():
    asked = set(re.findall(r"node\.labels\.(\S+) == (\d)", BOTH))
    assert asked == set(re.findall(r"--label-add (\S+)=(\d)", PAGE))


@pytest.mark.parametrize("name", ["fastlane.toml", "one-node.toml"])
def test_the_settings_name_filters_of_the_stack(name):
    hosts = re.findall(r'"(engine-\d):2375"', (ROOT / "stack" / name).read_text())
    assert hosts
    assert all(f"\n  {host}:" in STACK for host in hosts)


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


BASES = ["haproxy:3.2", "mongo:8.0", "node:22-slim", "prom/prometheus:v3.5.0", "python:3.13-slim", "redis:8"]
PULLING = """#!/bin/sh
[ "$1" = pull ] || exit 1
digest=$(printf '%s %s' "$ROUND" "$2" | sha256sum | cut -d ' ' -f 1)
printf '%s: Pulling\\nDigest: sha256:%s\\nStatus: new\\n' "$2" "$digest"
"""
"""Docker, as far as it says which digest an image has."""


def test_each_image_that_is_built_on_or_deployed_is_pinned_by_its_digest_and_renewed(tmp_path):
    pinned = ("Dockerfile", "swarm-stack.yml", "stack/monitoring.yml")
    for name in (*pinned, "scripts/pin", "scripts/lib.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(unpinned((ROOT / name).read_text()))
    (tmp_path / "docker").write_text(PULLING)
    (tmp_path / "docker").chmod(0o755)
    environment = {**plain_environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def pin(*arguments: str, moment: str = "") -> subprocess.CompletedProcess[str]:
        command = ["bash", str(tmp_path / "scripts/pin"), *arguments]
        return subprocess.run(command, env=environment | {"ROUND": moment}, capture_output=True, text=True, check=False)

    loose = pin("--check")
    assert (loose.returncode, [name for name in BASES if name not in loose.stderr]) == (1, [])
    for moment in ("first", "second"):
        assert pin(moment=moment).returncode == 0
        assert pin("--check").returncode == 0
        text = "".join((tmp_path / name).read_text() for name in pinned)
        for name in BASES:
            assert text.count(f"{name}@sha256:{sha256(f'{moment} {name}'.encode()).hexdigest()}") == 1, name
        assert text.count("@sha256:") == len(BASES)
        assert unpinned(text) == unpinned((ROOT / "Dockerfile").read_text() + BOTH)


def test_every_image_can_be_replaced_by_one_with_a_digest():
    images = re.findall(r"^ +image: (.*)$", BOTH, re.MULTILINE)
    assert [image for image in images if not re.fullmatch(r"\$\{([A-Z]+_)?IMAGE:-[^}]+\}", image)] == []
    froms = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [image for image in froms if not re.fullmatch(r"\$\{[A-Z]+_IMAGE\}", image)] == []


async def test_the_filter_of_an_engine_passes_on_whole_ids_only(tmp_path):
    engine, calls = tmp_path / "engine.sock", []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.raw_path)
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(engine)).start()
    port = free_port()
    text = (ROOT / "stack/engine-filter.cfg").read_text().replace(":2375", f"127.0.0.1:{port}").replace("/var/run/docker.sock", str(engine))
    (tmp_path / "filter.cfg").write_text(text)
    command = ["setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", str(tmp_path / "filter.cfg")]
    filter = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    container, task = "6f" * 32, "k3" * 12 + "z"
    allowed = [f"/v1.45/containers/{container}/json", f"/containers/{container}/logs", f"/v1.45/tasks/{task}/logs", "/version"]
    others = ["/containers/6/logs", f"/v1.45/containers/{container[:12]}/logs", f"/containers/{container}0/json", "/containers/6f/stats"]
    others += [f"/containers/{container[:-1]}/stats", "/containers/json", "/tasks/k/logs", f"/containers/{container}/exec"]
    services = f"/v1.45/events?filters={OF_SERVICES}"
    allowed += [services, f"/events?filters={OF_SERVICES}"]
    others += ["/events", "/v1.45/events", "/events?filters=", "/events?filters={}", "/events/x?filters=" + OF_SERVICES]
    others += [f"/events?filters={quote(json.dumps({'type': kinds}), safe='')}" for kinds in (["container"], ["service", "secret"], [])]
    others += [f"{services}{more}" for more in ("&since=0", "&filters=%7B%7D", "%20", ";x", "%00", "&")]
    others += [f"/events?since=0&filters={OF_SERVICES}", f"/events?%66ilters={OF_SERVICES}", f"/events?filters={OF_SERVICES.lower()}"]
    others += [f"/./events?filters={OF_SERVICES}", f"//events?filters={OF_SERVICES}", f"/%65vents?filters={OF_SERVICES}"]
    others += [f"/secrets/../events?filters={OF_SERVICES}", services.replace("?", "%3F")]
    allowed += ["/configs", "/v1.45/secrets"]
    others += ["/configs/create", "/swarm"]
    try:
        await until(lambda: is_open(port), "the filter")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            found = [(await session.get(URL(f"http://127.0.0.1:{port}{path}", encoded=True))).status for path in (*allowed, *others)]
            posted = (await session.post(URL(f"http://127.0.0.1:{port}{services}", encoded=True))).status
    finally:
        filter.kill()
        await filter.wait()
        await runner.cleanup()
    assert found == [200] * len(allowed) + [403] * len(others)
    assert (posted, calls) == (403, allowed)


def merged(folder: Path, *, environment: Mapping[str, str] | None = None) -> Any:
    """What stack/deploy has deployed from this checkout, as Docker merges it."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "docker").write_text(CONFIG.format(docker=shutil.which("docker")))
    (tools / "docker").chmod(0o755)
    here = plain_environment()
    here |= {"PATH": f"{tools}:{here['PATH']}", **(environment or {})}
    done = subprocess.run([folder / "stack/deploy"], env=here, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A checkout of the stack's files."""
    for name in ("swarm-stack.yml", "examples/monitoring/alerts.yaml", *(f"stack/{path.name}" for path in (ROOT / "stack").iterdir())):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_what_is_in_local_is_laid_over_the_stack(own: Path) -> None:
    plain = merged(own)
    assert Path(plain["configs"]["settings"]["file"]) == own / "stack/fastlane.toml"
    (example,) = blocks(section(INSTALL, "Upgrade it, change it"), "yaml")
    (own / "local").mkdir()
    (own / "local/stack.yml").write_text(example)
    (own / "local/zone.yml").write_text("services: {worker: {deploy: {replicas: 4}}}")
    changed = merged(own)
    assert changed["services"]["api"]["environment"].pop("FASTLANE_PUBLIC_URL") == "https://fastlane.example.com"
    assert changed["services"]["worker"]["environment"].pop("FASTLANE_KEEP_LOGS") == "30d"
    assert changed["services"]["worker"]["deploy"]["replicas"] == 4, "later names win"
    changed["services"]["worker"]["deploy"]["replicas"] = plain["services"]["worker"]["deploy"]["replicas"]
    assert changed["secrets"].pop("fastlane_tokens") == {"external": True, "name": "fastlane_tokens_2"}
    plain["secrets"].pop("fastlane_tokens")
    assert changed == plain, "the rest stays"


def test_settings_have_a_name_of_their_own_whenever_they_differ(own: Path) -> None:
    def name() -> str:
        return str(merged(own)["configs"]["settings"]["name"])

    first = name()
    assert re.search(re.escape(first.partition("settings-")[2]), STACK), "docker stack deploy without the script has the same"
    assert name() == first
    (own / "local").mkdir()
    settings = own / "local/fastlane.toml"
    shutil.copy(own / "stack/fastlane.toml", settings)
    assert name() == first, "the same settings replace no process"
    settings.write_text(settings.read_text() + "per_page = 20\n")
    found = merged(own)["configs"]["settings"]
    assert (found["name"], Path(found["file"])) == (f"fastlane-settings-{sha256(settings.read_bytes()).hexdigest()[:8]}", settings)
    settings.unlink()
    assert name() == first


@pytest.mark.parametrize(
    ("config", "stock", "own_file"),
    [("alerts", "examples/monitoring/alerts.yaml", "local/alerts.yaml"), ("prometheus", "stack/prometheus.yml", "local/prometheus.yaml")],
)
def test_an_own_file_of_prometheus_has_a_name_of_its_own_whenever_it_differs(own: Path, config: str, stock: str, own_file: str) -> None:
    def deployed() -> tuple[str, Path]:
        found = merged(own)["configs"][config]
        return found["name"], Path(found["file"])

    def expected(file: Path) -> tuple[str, Path]:
        return f"fastlane-{config}-{sha256(file.read_bytes()).hexdigest()[:8]}", file

    (own / "local").mkdir()
    (own / "local/monitoring.yml").symlink_to("../stack/monitoring.yml")
    assert deployed() == expected(own / stock)
    mine = own / own_file
    for text in ("# mine\n", "# changed\n"):
        mine.write_text((own / stock).read_text() + text)
        assert deployed() == expected(mine)
    mine.unlink()
    assert deployed() == expected(own / stock)


def test_prometheus_stands_on_its_own_node_and_never_on_that_of_the_data(own: Path) -> None:
    (own / "local").mkdir()
    (own / "local/monitoring.yml").symlink_to("../stack/monitoring.yml")
    services = merged(own)["services"]
    constraints = set(services["prometheus"]["deploy"]["placement"]["constraints"])
    assert constraints == {"node.labels.fastlane.monitoring == 1", "node.labels.fastlane.data != 1"}
    for name in ("redis", "mongo"):
        assert "node.labels.fastlane.data == 1" in services[name]["deploy"]["placement"]["constraints"]


def labelled(heading: str, label: str) -> str:
    """The node to which the commands of a section give a label."""
    (command,) = (words for words in commands_in(section(INSTALL, heading)) if f"{label}=1" in words)
    return command.split()[-1]


def test_the_page_gives_prometheus_another_node_than_the_data() -> None:
    watching = labelled("Watch it with Prometheus", "fastlane.monitoring")
    for heading in ("Prepare the swarm", "When the node of the data is gone for good"):
        assert labelled(heading, "fastlane.data") != watching, heading


def test_one_node_has_its_own_settings_and_no_other_engines(own: Path) -> None:
    script = "\n".join(command for command in commands_in(section(INSTALL, "One node")) if not command.startswith("stack/deploy"))
    subprocess.run(["sh", "-euc", script], cwd=own, check=True, timeout=60)
    found = merged(own)
    assert found["configs"]["settings"]["name"].endswith(sha256((ROOT / "stack/one-node.toml").read_bytes()).hexdigest()[:8])
    assert [found["services"][f"engine-{number}"]["deploy"].get("replicas") for number in (1, 2, 3)] == [None, 0, 0]


def test_prometheus_scrapes_every_port_that_serves_figures_and_can_log_in_there():
    stack, scraped = yaml.safe_load(STACK), yaml.safe_load((ROOT / "stack/prometheus.yml").read_text())
    services, prometheus = stack["services"], yaml.safe_load(MONITORING)["services"]["prometheus"]
    targets = {}
    for scrape in scraped["scrape_configs"]:
        (found,) = scrape["dns_sd_configs"]
        (name,) = found["names"]
        targets[name.removeprefix("tasks.")] = found["port"]
        assert scrape["authorization"]["credentials_file"].removeprefix("/run/secrets/") in prometheus["secrets"]
    assert targets == {
        "api": services["api"]["ports"][0]["target"],
        "worker": int(services["worker"]["environment"]["FASTLANE_METRICS_PORT"]),
    }
    for name in targets:
        assert set(services[name]["networks"]) & set(prometheus["networks"])
        assert services[name]["environment"]["FASTLANE_TOKENS_FILE"] == "/run/secrets/fastlane_tokens"
        assert "fastlane_tokens" in services[name]["secrets"]
    mounted = {config["target"] for config in prometheus["configs"]}
    assert {f"/etc/prometheus/{file}" for file in scraped["rule_files"]} <= mounted


def test_the_page_s_commands_give_prometheus_its_token_and_its_place(own: Path) -> None:
    tools = own / "tools"
    tools.mkdir()
    (tools / "docker").write_text(DOCKER)
    (tools / "docker").chmod(0o755)
    here = plain_environment()
    environment = {**here, "PATH": f"{tools}:{here['PATH']}", "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "HOME": str(own)}
    first = next(command for command in commands_in(section(INSTALL, "Prepare the swarm")) if "| tee token.txt" in command)
    typed = [command for command in commands_in(section(INSTALL, "Watch it with Prometheus")) if not command.startswith("IMAGE=")]
    subprocess.run(["sh", "-euc", "\n".join([first, *typed])], cwd=own, env=environment, check=True, timeout=60)
    operator, prometheus = TOKENS.read(json.loads((own / "fastlane_tokens_2").read_text()))
    assert (operator.principal.role, prometheus.principal.role) == (Role.ADMIN, Role.READ)
    assert token_digest((own / "fastlane_metrics_token").read_text()) == prometheus.digest
    stack = merged(own)
    assert stack["secrets"]["fastlane_tokens"] == {"external": True, "name": "fastlane_tokens_2"}
    assert stack["secrets"]["fastlane_metrics_token"]["external"]
    assert stack["services"].keys() - SERVICES.keys() == {"prometheus"}
    files = {name: Path(stack["configs"][name]["file"]) for name in ("prometheus", "alerts")}
    assert files == {"prometheus": own / "stack/prometheus.yml", "alerts": own / "examples/monitoring/alerts.yaml"}
    assert all(stack["configs"][name]["name"].endswith(sha256(path.read_bytes()).hexdigest()[:8]) for name, path in files.items())


@pytest.mark.parametrize(("fails", "left"), [(False, b"whole\n"), (True, b"yesterday's\n")])
def test_the_page_s_backup_replaces_the_last_one_only_once_it_is_whole(tmp_path, fails, left):
    (tmp_path / "docker").write_text(
        f"#!/bin/sh\ncase $1 in ps) echo worker ;; exec) echo {'half; exit 1' if fails else 'whole'} ;; esac\n"
    )
    (tmp_path / "docker").chmod(0o755)
    file = tmp_path / "fastlane.jsonl.gz"
    file.write_bytes(gzip.compress(b"yesterday's\n"))
    script = "\n".join(commands_in(section(INSTALL, "Back it up")))
    environment = {"PATH": f"{tmp_path}:{plain_environment()['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=False, timeout=60)
    assert (done.returncode != 0, gzip.decompress(file.read_bytes())) == (fails, left)
    assert fails or file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_bounds_and_starts_again(name):
    service = SERVICES[name]
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["deploy"]["restart_policy"]["condition"] == "any"
    assert service["stop_grace_period"]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_fastlane_s_own_services_hand_over_and_go_back_when_a_new_container_fails(name):
    service, update = SERVICES[name], SERVICES[name]["deploy"]["update_config"]
    assert service["deploy"]["replicas"] == 2
    assert int(service["stop_grace_period"].removesuffix("s")) > HAND_OVER
    assert (update["order"], update["failure_action"]) == ("start-first", "rollback")
    assert service["deploy"]["rollback_config"]["order"] == "start-first"
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    secret = [key for key in service["environment"] if re.search("URL|TOKEN|USER|PASSWORD", key) and not key.endswith("_FILE")]
    assert secret == [], "secrets are files"


def test_the_stack_shows_how_to_open_it_and_how_to_use_servers_elsewhere():
    comments = "\n".join(line.strip() for line in STACK.splitlines() if line.strip().startswith("#"))
    for words in (
        "FASTLANE_ALLOW_ANONYMOUS",
        "FASTLANE_PUBLIC_URL",
        "FASTLANE_TRUSTED_PROXIES",
        "rediss://",
        "mongodb+srv://",
        "&tls=true",
    ):
        assert words in comments


def test_the_settings_of_retention_are_commented_out_with_their_defaults():
    shown = dict(re.findall(r"^  # (FASTLANE_(?:KEEP|MAX)[A-Z_]+): \"?([^\"\n]+)", STACK, re.MULTILINE))
    defaults = {setting.variable: setting.default for setting in SETTINGS}
    assert shown == {name: defaults[name] for name in shown}
    assert shown.keys() >= {name for name in defaults if name.startswith("FASTLANE_KEEP_")}
