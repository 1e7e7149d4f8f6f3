"""What `docker compose config` leaves out of a compose file with jobs, and what of a service is no job's. The command that stands in does
what Docker Compose 2.26 does to these files; where the machine has Docker Compose, that runs as well."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastlane.cli.client.compose_file import Origin, read_compose
from fastlane.cli.client.yaml_text import FileFault

PAGE = Path(__file__).parents[2] / "docs" / "stacks.md"
STAND_IN = f"""#!{sys.executable}
import sys, yaml
words = sys.argv[1:]
folder = words[words.index("--project-directory") + 1] if "--project-directory" in words else None
name = words[words.index("-f") + 1]
made = yaml.safe_load(sys.stdin if name == "-" else open(name))
for other in made.pop("include", ()):
    for kind, rows in yaml.safe_load(open(name.rpartition("/")[0] + "/" + other)).items():
        if not kind.startswith("x-"):
            made[kind] = {{**rows, **made.get(kind, {{}})}}
for key, service in made["services"].items():
    if "extends" in service:
        made["services"][key] = {{**made["services"][service.pop("extends")["service"]], **service}}
if "--no-interpolate" not in words:
    used = str(made["services"])
    for kind in ("volumes", "networks", "secrets", "configs"):
        made[kind] = {{key: row for key, row in made.get(kind, {{}}).items() if key in used}}
yaml.safe_dump({{"name": "shop", **made}}, sys.stdout)
"""


OTHER = """\
services: {db: {image: postgres}}
volumes: {reports: {name: '$REPORTS'}}
configs: {a: {file: a}}
"""


def has_compose() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture(params=["stand-in", *(["real"] if has_compose() else [])])
def compose(request, tmp_path, monkeypatch) -> Path:
    """A folder for files; `docker compose` can be run."""
    if request.param == "stand-in":
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(STAND_IN)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def jobs_of(folder: Path, text: str, name: str = "shop.yaml"):
    (folder / name).write_text(text)
    return {job.key: job for job in read_compose(text, Origin(folder / name, {"REPORTS": "reports-7"}, "shop")).jobs}


def test_a_stack_means_the_same_with_an_include(compose):
    found = re.search(r"```yaml\n(# shop.yaml.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    plain = jobs_of(compose, found[1])
    (compose / "other.yaml").write_text(
        "services: {db: {image: postgres}}\nvolumes: {reports: {name: '$REPORTS'}}\nconfigs: {a: {file: a}}"
    )
    text = f"include: [other.yaml]\n{found[1]}"
    assert {key: job.fields for key, job in jobs_of(compose, text).items()} == {key: job.fields for key, job in plain.items()}
    text += "secrets: {key: {external: true}}\n"
    text = text.replace('"backup:/backup:ro"]', '"reports:/backup"]\n    secrets: [key]\n    configs: [a]')
    container = jobs_of(compose, text)["report"].fields["container"]
    assert container["mounts"][0]["source"] == "reports-7"
    assert (container["secrets"][0]["name"], container["configs"][0]["name"]) == ("key", "shop_a")


def test_what_docker_leaves_out_on_standard_input_is_named_as_that(compose):
    text = 'services: {web: {image: x}}\nx-jobs: {a: {image: x, volumes: ["v:/v"], triggers: {manual: true}}}\nvolumes: {v: }\n'
    (compose / "shop.yaml").write_text(text)
    command = ["docker", "compose", "--profile", "*", "-p", "shop", "-f", str(compose / "shop.yaml"), "config"]
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with pytest.raises(FileFault, match=r"below volumes \(`docker compose config` leaves out what only jobs use; apply the file"):
        read_compose(piped, Origin(None, {}))
    whole = subprocess.run([*command, "--no-interpolate"], capture_output=True, text=True, check=True).stdout
    assert read_compose(whole, Origin(None, {})).jobs[0].fields["container"]["mounts"][0]["source"] == "shop_v"


LONG = """\
services:
  db: {image: postgres}
  web:
    image: nginx
    build: .
    tty: true
    stdin_open: true
    depends_on: {db: {condition: service_healthy}}
    deploy:
      mode: replicated
      replicas: 3
      restart_policy: {condition: any}
      update_config: {order: start-first}
      labels: {a: b}
      resources: {limits: {memory: 64M}}
      placement: {constraints: [node.role==worker], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 1}
x-jobs:
  a: {extends: {service: web}, triggers: {manual: true}}
"""


def test_a_job_that_extends_a_service_has_nothing_of_what_the_service_has_to_run_for_long(compose):
    (compose / "shop.yaml").write_text(LONG)
    found = read_compose(LONG, Origin(compose / "shop.yaml", {}, "shop"))
    (job,) = found.jobs
    assert (job.fields["image"], job.fields["container"]["constraints"]) == ("nginx", ["node.role==worker"])
    assert (job.fields["resources"], found.notes) == ({"memory": "64M"}, ())
    own = "{extends: {service: web}, build: x, deploy: {replicas: 2, placement: {preferences: [{spread: a}]}}, triggers"
    with pytest.raises(FileFault) as fault:
        jobs_of(compose, LONG.replace("{extends: {service: web}, triggers", own))
    assert set(re.findall(r"x-jobs\.a\.([a-z.]+)", str(fault.value))) == {"deploy.replicas", "deploy.placement.preferences", "build"}
