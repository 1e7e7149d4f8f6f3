"""``fastlane apply`` and ``diff`` of compose files: ``jobs:`` as Docker defines them, and ``x-jobs:`` for `docker stack deploy`."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.cli.client.compose_attributes import ATTRIBUTES
from fastlane.cli.client.compose_file import Origin, is_compose, read_compose
from fastlane.cli.client.yaml_text import FileFault
from fastlane.models.pool import Pool
from tests.support.fastlane import HOST, Fastlane
from tests.support.policies import EVERYTHING

DOCKERS = """\
jobs:
  migrate:
    image: registry.example.com/shop/app:2.1
    command: ["./manage.py", "migrate"]
    environment: {DATABASE_URL: "postgres://db/shop"}
    triggers:
      manual: true
  report:
    image: registry.example.com/shop/report:7
    volumes: ["reports:/out"]
    triggers:
      schedule:
        - "30 6 * * 1"
        - cron: "*/15 8-18 * * 1-5"
          timezone: Europe/Berlin
          concurrency: queue
          missed_fires: skip
volumes:
  reports:
"""
"""The example of Docker's jobs, word for word."""


@pytest.fixture
async def server(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    """A server whose pool lets jobs mount volumes and join networks."""
    async with Fastlane(tmp_path / "served", shared_redis.url, pools=(Pool("default", "", (HOST,), policy=EVERYTHING),)) as server:
        yield server


@pytest.fixture
def line(command_line):
    """The command in the folder of a project, ``shop``."""
    command_line.folder = command_line.folder / "Shop"
    command_line.folder.mkdir()
    return command_line


def write(line, text: str, name: str = "compose.yaml") -> None:
    (line.folder / name).write_text(text)


def jobs_of(text: str, environment: dict[str, str] | None = None, folder: Path = Path("/shop")):
    return {job.key: job for job in read_compose(text, Origin(folder / "compose.yaml", environment or {})).jobs}


def fields_of(attributes: str, environment: dict[str, str] | None = None, folder: Path = Path("/shop"), top: str = ""):
    """The fields of a manual job with these attributes, but for those that each such job has."""
    text = f"{top}\njobs: {{a: {{triggers: {{manual: true}}, {attributes}}}}}"
    fields = dict(jobs_of(text, environment, folder)["a"].fields)
    assert [fields.pop(name) for name in ("manual", "overlap", "name")] == [True, "skip", "a"]
    return fields | {"labels": {name: value for name, value in fields["labels"].items() if name != "fastlane/set"}}


def faults_of(text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(FileFault) as fault:
        read_compose(text, Origin(Path("/shop/compose.yaml"), environment or {}))
    return str(fault.value).splitlines()


async def test_dockers_own_example_applies_unchanged(server, line):
    write(line, DOCKERS)
    assert (await line("diff", "-f", "compose.yaml")).code == 1
    assert (await server.get("/jobs")).json["items"] == []
    first = await line("apply", "-f", "compose.yaml")
    assert (first.code, first.lines) == (0, ["+ shop/migrate", "+ shop/report", "2 created, 0 changed, 0 removed, 0 unchanged"]), first.err
    definitions = {
        row["name"]: (await line("inspect", "--definition", f"shop/{row['name']}")).json
        for row in (await server.get("/jobs")).json["items"]
    }
    assert definitions["migrate"] == {
        "name": "migrate", "labels": {"fastlane/set": "shop"}, "image": "registry.example.com/shop/app:2.1",
        "command": "./manage.py migrate", "envs": {"DATABASE_URL": "postgres://db/shop"}, "manual": True, "overlap": "skip",
    }  # fmt: skip
    report = definitions["report"]
    queued = {"cron": "*/15 8-18 * * 1-5", "timezone": "Europe/Berlin", "overlap": "queue", "catchUp": "none"}
    assert (report["cron"], report["timezone"], report["overlap"]) == (["30 6 * * 1", queued], "UTC", "skip")
    assert report["container"]["mounts"] == [
        {"type": "volume", "source": "shop_reports", "target": "/out", "readOnly": False, "size": None}
    ]  # fmt: skip
    again = await line("apply", "-f", "compose.yaml")
    assert again.lines == ["0 created, 0 changed, 0 removed, 2 unchanged"]
    assert (await line("diff", "-f", "compose.yaml")).code == 0
    written = (line.folder / "compose.yaml").read_bytes()
    piped = await line("apply", "-f", "-", "--project", "shop", input=written)
    assert piped.lines == again.lines, piped.err


async def test_a_changed_job_is_shown_and_one_that_is_gone_is_removed_only_with_prune(server, line):
    write(line, DOCKERS)
    await line("apply", "-f", "compose.yaml")
    write(line, DOCKERS.replace("app:2.1", "app:2.2").replace("  report:", "  reports:"))
    shown = await line("apply", "-f", "compose.yaml", "--dry-run")
    image = '    image: "registry.example.com/shop/app:2.1" → "registry.example.com/shop/app:2.2"'
    assert shown.lines[:4] == ["~ shop/migrate", image, "+ shop/reports", "  shop/report is not in the file; --prune removes it"]
    assert (await line("apply", "-f", "compose.yaml", "--prune")).lines[-1] == "1 created, 1 changed, 1 removed, 0 unchanged"


STACK = """\
services:
  web: {image: nginx, ports: ["80:80"], deploy: {replicas: 2}}
x-jobs:
  backup:
    image: ubuntu
    command: tar cf /backup/web.tar /etc
    secrets: [key]
    triggers: {schedule: ["0 3 * * *"]}
    deploy: {resources: {limits: {memory: 64M}}}
    x-fastlane: {retries: 2, task: nightly, retryDelay: 1m}
secrets: {key: {external: true}}
"""


async def test_x_jobs_of_a_stack_get_its_network_and_what_is_ours_alone(server, line):
    write(line, STACK, "stack.yml")
    assert (await line("apply", "-f", "stack.yml", "--project", "prod")).code == 0
    found = (await line("inspect", "--definition", "nightly/backup")).json
    assert (found["retries"], found["retryDelay"], found["resources"]["memory"]) == (2, "1m", 64 << 20)
    assert found["container"]["networks"] == ["prod_default"]
    assert found["container"]["secrets"] == [{"name": "key", "target": "key"}]


WRONG = """\
services: {web: {image: x}}
jobs:
  build:
    build: .
    volumes: ["./data:/data", "reprots:/out"]
    depends_on: {web: {condition: service_healthy}}
    imgae: x
    triggers: {shedule: ["0 3 * * *"], manual: true}
  web:
    image: x
    triggers: {manual: true}
  late:
    image: x
    timeout: never
    triggers:
      schedule:
        - {cron: "61 * * * *", concurrency: allow}
    x-fastlane: {retires: 2}
volumes: {reports: {}}
"""


async def test_all_that_a_swarm_cannot_do_is_named_with_its_line_and_nothing_is_applied(server, line):
    write(line, WRONG)
    refused = await line("apply", "-f", "compose.yaml")
    assert refused.code == 2
    told = dict(text.removeprefix("fastlane: compose.yaml: ").split(": ", 1) for text in refused.err.splitlines())
    for place, words in {
        "jobs.build.build (line 4)": "a swarm builds no image",
        "jobs.build.volumes.0 (line 5)": "the nodes of a swarm don't have",
        "jobs.build.volumes.1 (line 5)": "does not declare below volumes",
        "jobs.build.depends_on (line 6)": "cannot be waited for (service_healthy)",
        "jobs.build.imgae (line 7)": "did you mean 'image'",
        "jobs.build.triggers.shedule (line 8)": "did you mean 'schedule'",
        "jobs.web (line 9)": "is the name of a service",
        "jobs.late.triggers.schedule.0.concurrency (line 17)": "write forbid or queue",
        "jobs.late.timeout (line 14)": "",
        "jobs.late.triggers.schedule (line 16)": "",
        "jobs.late.x-fastlane.retires (line 18)": "retries",
    }.items():
        assert words in told.get(place, ""), (place, refused.err)
        assert place in told, (place, refused.err)
    assert (await server.get("/jobs")).json["items"] == []


@pytest.mark.parametrize(
    ("attributes", "fields"),
    [
        ("image: a, command: ls -l", {"image": "a", "command": "ls -l"}),
        ("environment: [A=1, B, C=x=y], env_file: one.env", {"envs": {"A": "1", "B": "2", "C": "x=y", "D": "4"}}),
        ("environment: {A: 1, B: null, N: null}", {"envs": {"A": 1, "B": "2"}}),
        ("env_file: [{path: none.env, required: false}]", {"envs": {}}),
        (
            "volumes: [data:/d:ro, /srv:/s, {type: tmpfs, target: /t, tmpfs: {size: 64mb}}], tmpfs: /run:size=1g",
            {
                "container": {
                    "mounts": [
                        {"type": "volume", "source": "other", "target": "/d", "readOnly": True},
                        {"type": "bind", "source": "/srv", "target": "/s", "readOnly": False},
                        {"type": "tmpfs", "target": "/t", "size": "64m"},
                        {"type": "tmpfs", "target": "/run", "size": "1g"},
                    ]
                }
            },
        ),
        ("networks: [default, back]", {"container": {"networks": ["shop_default", "shop_back"]}}),
        ("networks: {back: null}", {"container": {"networks": ["shop_back"]}}),
        ("networks: [default]", {}),
        ("network_mode: host", {"container": {"networks": ["host"]}}),
        ("secrets: [key, {source: pin, target: /run/secrets/p}]",
         {"container": {"secrets": [{"name": "shop_key", "target": "key"}, {"name": "pin", "target": "p"}]}}),
        ("configs: [conf, {source: pins, target: etc/p, uid: '103', gid: 5, mode: 0440}]",
         {"container": {"configs": [{"name": "shop_conf", "target": "/conf"},
                                    {"name": "pins", "target": "/etc/p", "uid": 103, "gid": 5, "mode": "0440"}]}}),
        ("user: 1000, working_dir: /w, init: false, stop_signal: SIGINT, stop_grace_period: 1m30s",
         {"container": {"user": "1000", "workdir": "/w", "init": False, "stopSignal": "SIGINT", "stopGrace": "1m30s"}}),
        ("extra_hosts: ['a:10.0.0.1', 'b=[::1]']", {"container": {"extraHosts": {"a": "10.0.0.1", "b": "::1"}}}),
        ("cpus: '0.5', mem_limit: 512mb, mem_reservation: 64m, pids_limit: 50",
         {"resources": {"cpus": 0.5, "memory": "512m", "pids": 50, "reserve": {"memory": "64m"}}}),
        ("deploy: {resources: {limits: {cpus: '2'}, reservations: {memory: 1G}}, placement: {constraints: [node.role==worker]}}",
         {"resources": {"cpus": 2.0, "reserve": {"memory": "1G"}}, "container": {"constraints": ["node.role==worker"]}}),
        ("deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: '2'}}]}}}",
         {"resources": {"reserve": {"generic": {"gpu": 2}}}}),
        ("labels: [team=data, bare], timeout: 10m", {"labels": {"team": "data", "bare": ""}, "timeout": "10m"}),
        ("x-fastlane: {service: shop_web, container: {user: app}, labels: {a: b}}",
         {"service": "shop_web", "container": {"user": "app"}, "labels": {"a": "b"}}),
        ("privileged: false, cap_add: [], healthcheck: {disable: true}, restart: 'no'", {}),
        ("init: '${INIT:-false}', read_only: '${RO:-true}', tty: '${TTY:-False}'", {"container": {"init": False, "readOnly": True}}),
        ("entrypoint: [tini, --], hostname: worker, dns: 10.0.0.53",
         {"container": {"entrypoint": ["tini", "--"], "hostname": "worker", "dns": ["10.0.0.53"]}}),
        ("cap_add: [NET_ADMIN], cap_drop: [ALL], sysctls: [net.core.somaxconn=1024], "
         "ulimits: {nproc: 65535, nofile: {soft: '20', hard: 40}}",
         {"container": {"capAdd": ["NET_ADMIN"], "capDrop": ["ALL"], "sysctls": {"net.core.somaxconn": "1024"},
                        "ulimits": {"nproc": 65535, "nofile": {"soft": 20, "hard": 40}}}}),
        ("cap_drop: [], sysctls: {net.core.somaxconn: 1024}, ulimits: {}, dns: []",
         {"container": {"sysctls": {"net.core.somaxconn": 1024}}}),
        ("entrypoint: sh -c, dns: [10.0.0.53, '::1'], read_only: false",
         {"container": {"entrypoint": "sh -c", "dns": ["10.0.0.53", "::1"], "readOnly": False}}),
        ("env_file: [{path: none.env, required: '${R:-false}'}]", {"envs": {}}),
        (
            "volumes: [{type: volume, source: filled, target: /f, read_only: '${RO:-true}'}, 'outside:/o', 'inside:/i'], networks: [vars]",
            {
                "container": {
                    "mounts": [
                        {"type": "volume", "source": "two", "target": "/f", "readOnly": True},
                        {"type": "volume", "source": "outside", "target": "/o", "readOnly": False},
                        {"type": "volume", "source": "shop_inside", "target": "/i", "readOnly": False},
                    ],
                    "networks": ["net-2"],
                }
            },
        ),
    ],
)  # fmt: skip
def test_attributes_become_fields(attributes, fields, tmp_path):
    (tmp_path / "one.env").write_text("# a comment\nexport A=0\nD='4'\n")
    volumes = "filled: {name: '${TWO:-two}'}, outside: {external: '${E:-true}'}, inside: {external: 'false'}, unused: {name: $NONE}"
    top = f"name: shop\nvolumes: {{data: {{name: other}}, {volumes}}}\nnetworks: {{back: , vars: {{external: {{name: net-$B}}}}}}"
    top += "\nsecrets: {key: {file: x}, pin: {external: true}}\nconfigs: {conf: {content: x}, pins: {external: true}}"
    found = fields_of(attributes, {"B": "2"}, tmp_path, top)
    assert found == {"labels": {}, **fields}


@pytest.mark.parametrize(
    ("triggers", "fields"),
    [
        ('{schedule: ["0 3 * * *"]}', {"cron": "0 3 * * *", "timezone": "UTC", "overlap": "skip"}),
        ('{manual: true, schedule: [{cron: "0 3 * * *", timezone: Europe/Berlin}]}',
         {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "overlap": "skip"}),
        ('{schedule: [{cron: "0 3 * * *", concurrency: forbid, missed_fires: one}]}',
         {"cron": [{"cron": "0 3 * * *", "overlap": "skip", "catchUp": "latest"}], "timezone": "UTC", "overlap": "skip"}),
        ("{manual: true}", {"manual": True, "overlap": "skip"}),
    ],
)  # fmt: skip
def test_triggers_become_a_schedule_with_dockers_defaults(triggers, fields):
    found = dict(jobs_of(f"jobs: {{a: {{image: x, triggers: {triggers}}}}}")["a"].fields)
    assert {name: value for name, value in found.items() if name not in ("name", "labels", "image")} == fields


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("image: x", "a.triggers (line 1): is missing"),
        ("image: x, triggers: {}", "would never run"),
        ("image: x, triggers: {manual: false}", "would never run"),
        ("image: x, triggers: {schedule: []}", "is not a list of schedules"),
        ("triggers: {manual: true}, x-fastlane: {startIn: 5m}", "x-fastlane.startIn (line 1): cannot be applied again"),
        ("triggers: {manual: true}, x-fastlane: {cron: '@daily', manual: false}", "x-fastlane.manual (line 1): is given by"),
        ("triggers: {manual: true}, x-fastlane: {id: 7}", "x-fastlane.id (line 1): is not the id"),
        ("triggers: {manual: true}, image: $NONE", "image (line 1): the variable NONE is not set"),
        ("triggers: {manual: true}, deploy: {resorces: {}}", "there is no 'resorces' in deploy; did you mean 'resources'"),
        ("triggers: {manual: true}, deploy: {resources: {reservations: {devices: [{count: 1}]}}}", "devices (line 1): is for one engine"),
        ("triggers: {manual: true}, gpus: all", "gpus (line 1): is for one engine; a swarm"),
        ("triggers: {manual: true}, deploy: {resources: {reservations: {generic_resources: [{gpu: 1}]}}}", "is not a list of {discr"),
        ("triggers: {manual: true}, deploy: {replicas: 3}", "deploy.replicas (line 1): a run is one container"),
        ("triggers: {manual: true}, restart: always", "is not restarted"),
        ("triggers: {manual: true}, volumes: [/data]", "has no name"),
        ("triggers: {manual: true}, volumes: {}", "volumes (line 1): is not a list"),
        ("triggers: {manual: true}, secrets: [{source: k, mode: 0400}]", "has a uid, gid or mode"),
        ("triggers: {manual: true}, configs: [conf]", "configs.0 (line 1): names 'conf', which the file does not declare below configs"),
        ("triggers: {manual: true}, configs: [{source: a, file: b}]", "there is no 'file' in a config"),
        ("triggers: {manual: true}, networks: {n: {aliases: [a]}}", "has aliases"),
        ("triggers: {manual: true}, security_opt: [no-new-privileges]", "with more rights"),
        ("triggers: {manual: true}, env_file: none.env", "none.env cannot be read"),
        ("triggers: {manual: true}, volumes: ['v:/v']", "names 'v', which cannot be read below volumes: the variable NONE is not set"),
        ("triggers: {manual: true}, volumes: ['w:/w']", "cannot be read below volumes: 'perhaps' is neither true nor false"),
        ("triggers: {manual: true}, volumes: [{source: o, target: /o, read_only: 'yes'}]", "volumes.0 (line 1): 'yes' is neither true nor"),
        ("triggers: {manual: '${M:-perhaps}'}", "triggers.manual (line 1): 'perhaps' is neither true nor false"),
        ("triggers: {manual: true}, environment: 7", "environment (line 1): is neither a map nor a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_says_why(attributes, words):
    assert words in "\n".join(faults_of(f"jobs: {{a: {{{attributes}}}}}\nnetworks: {{n: }}\n{VOLUMES}"))


VOLUMES = "volumes: {v: {name: $NONE}, w: {external: perhaps}, o: }"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {}", "has no jobs"),
        ("jobs: {a: {triggers: {manual: true}}}\nx-jobs: {a: {triggers: {manual: true}}}", "is there twice"),
        (
            "servcies: {}\njobs: {a: {triggers: {manual: true}}}",
            "servcies (line 1): there is no 'servcies' in a compose file; did you mean 'services'",
        ),
        ("jobs: [a]\nservices: {}", "jobs (line 1): is not a map"),
        ("jobs: {a b: {triggers: {manual: true}}}\nservices: {}", "is not the name of a job"),
        ("x: &x [*x]\njobs: {}", "an alias of what it is in"),
        ("services: {}\ninclude: [other.yaml]\njobs: {}", "include: needs `docker compose`"),
        ("networks: {default: {name: $NONE, driver: x}}\njobs: {a: {triggers: {manual: true}}}", "a.networks (line 2): names 'default'"),
        ("services: !reset []\njobs: {}", "line 1: the tag !reset is not known here"),
        (f"services: {{}}\njobs: {{a: {{user: {'1' * 5000}}}}}", "line 2: the value cannot be read as int"),
        (
            f"jobs: {{a: {{triggers: {{manual: true}}, user: '{'${A:-' * 600}{'}' * 600}'}}}}",
            "a.user (line 1): has variables in each other",
        ),
    ],
)
def test_a_file_that_cannot_be_read_says_why(text, words):
    assert words in "\n".join(faults_of(text))


STRANGE = (
    *("1", "x", "[]", "[1]", "{}", "{a: 5}", "{a: [1]}", "[[a]]", "[{a: {b: c}}]", "true", ".5", "'nan'", "{source: {a: b}, target: [1]}"),
    *("{type: tmpfs, tmpfs: [1]}", "[{type: tmpfs, tmpfs: [1]}]", "[{type: bind, bind: x, volume: 1}]", "{a: {condition: [1]}}"),
)


def test_no_value_of_any_attribute_is_more_than_a_fault():
    for attribute in (*ATTRIBUTES, "triggers", "profiles", "x-fastlane"):
        for value in STRANGE:
            other = "" if attribute == "triggers" else "triggers: {manual: true}, "
            tried(f"jobs: {{a: {{{other}{attribute}: {value}}}}}\nservices: {{b: {{}}}}")
    for value in STRANGE:
        for name in ("cron", "timezone", "concurrency", "missed_fires"):
            tried(f"jobs: {{a: {{triggers: {{schedule: [{{cron: x, {name}: {value}}}]}}}}}}".replace("cron: x, cron", "cron"))
        for field in ("labels", "id", "task", "container", "cron"):
            tried(f"jobs: {{a: {{user: b, triggers: {{manual: true}}, x-fastlane: {{{field}: {value}}}}}}}")
        for name in ("name", "volumes", "networks", "secrets", "services", "jobs", "x-jobs", "include"):
            tried(f"x-a: 1\n{name}: {value}\njobs: {{a: {{networks: [a], secrets: [a], volumes: ['a:/b'], triggers: {{manual: true}}}}}}")


def tried(text: str) -> None:
    """Reads a file; a fault in it is all that may be wrong."""
    with contextlib.suppress(FileFault):
        read_compose(text, Origin(Path("/shop/compose.yaml"), {}))


def test_a_health_check_is_noted_unless_it_is_off():
    notes = [
        read_compose(f"jobs: {{a: {{triggers: {{manual: true}}, healthcheck: {given}}}}}", Origin(Path("/shop/compose.yaml"), {})).notes
        for given in ("{disable: true}", "{test: NONE}", "{test: [CMD, 'true']}")
    ]
    assert [len(words) for words in notes] == [0, 0, 1]


def test_a_file_of_schedules_and_a_compose_file_are_told_apart():
    assert not is_compose("set: x\njobs: {a: {image: x, cron: '@daily'}}")
    assert not is_compose("jobs: {a: {image: x, cron: '@daily'}}")
    assert not is_compose("")
    assert is_compose("jobs: {a: {image: x, triggers: {manual: true}}}")
    assert is_compose("services: {}\nx-jobs: {}")


def test_variables_come_from_the_environment_before_the_file_beside_it(tmp_path):
    (tmp_path / ".env").write_text("TAG=1\nNAME=shop\n")
    text = "name: ${NAME}\njobs: {a: {image: 'x:$TAG', command: 'echo $$HOME ${LEVEL:-low}', triggers: {manual: true}}}"
    job = jobs_of(text, {"TAG": "2"}, tmp_path)["a"]
    assert (job.task, job.fields["image"], job.fields["command"]) == ("shop", "x:2", "echo $HOME low")


def test_a_job_with_a_profile_is_left_out_until_the_profile_is_active():
    text = "jobs: {a: {image: x, profiles: [debug], triggers: {manual: true}}}"
    left = read_compose(text, Origin(Path("/shop/compose.yaml"), {}))
    words = "jobs.a.profiles (line 1): the job is left out, and stays as it is, unless COMPOSE_PROFILES names debug"
    assert (left.jobs, left.notes) == ((), (words,))
    for own in ("", ", x-fastlane: {task: b}", f", x-fastlane: {{id: {ID}}}"):
        given = text.replace("[debug]", f"[debug]{own}")
        job = jobs_of(given, {"COMPOSE_PROFILES": "x,debug"})["a"]
        assert read_compose(given, Origin(Path("/shop/compose.yaml"), {})).left_out == {job.id}


ID = "6f1b8a52-53a5-4d6e-9a0e-0a4d4a1f6c11"


async def test_prune_keeps_a_job_whose_profile_is_not_active(server, line):
    write(line, DOCKERS.replace("    volumes:", "    profiles: [weekly]\n    volumes:"))
    line.environment["COMPOSE_PROFILES"] = "weekly"
    assert (await line("apply", "-f", "compose.yaml")).lines[-1].startswith("2 created")
    del line.environment["COMPOSE_PROFILES"]
    pruned = await line("apply", "-f", "compose.yaml", "--prune")
    assert pruned.lines == ["0 created, 0 changed, 0 removed, 1 unchanged"]
    assert "jobs.report.profiles (line 10): the job is left out, and stays as it is" in pruned.err
    assert {row["name"] for row in (await server.get("/jobs")).json["items"]} == {"migrate", "report"}


def test_files_of_variables_are_filled_in_as_docker_does_and_single_quotes_keep_a_dollar_sign(tmp_path):
    lines = ("A=1", 'B="$A-${C:-c}"', "D='$A ${A} $$'", "E=$$5", 'F="\\$A"', "G=$X", "export X=y # no", "H", "X", "I= # none")
    (tmp_path / "some.env").write_text("\n".join(lines))
    assert fields_of("env_file: some.env", {"X": "x", "H": "$A"}, tmp_path)["envs"] == {
        "A": "1", "B": "1-c", "D": "$A ${A} $$", "E": "$5", "F": "$A", "G": "x", "X": "x", "H": "$A", "I": "",
    }  # fmt: skip


def test_each_line_of_a_file_of_variables_that_cannot_be_read_is_named_without_its_text(tmp_path):
    (tmp_path / ".env").write_text("A=1\n\nhunter two=3\nB='hunter\nC=hun$ter\nD=${hunter!}\n=hunter\n")
    with pytest.raises(FileFault) as fault:
        jobs_of("jobs: {a: {image: x, triggers: {manual: true}}}", {}, tmp_path)
    told = str(fault.value).split("; ")
    lines = [line.removeprefix(f"{tmp_path}/.env line ").split(" because")[0][:9] for line in told if "line" in line]
    assert lines == ["3 cannot ", "4 cannot ", "5 has a $", "6 has a $", "7 cannot "], told
    assert "hun" not in str(fault.value)


def test_values_that_come_by_a_yaml_merge_may_be_replaced():
    text = "x-base: &base {image: x, user: '1', triggers: {manual: true}}\njobs:\n  a:\n    <<: *base\n    image: y\nservices: {}"
    assert jobs_of(text)["a"].fields["image"] == "y"


def test_what_docker_compose_config_adds_changes_nothing():
    plain = jobs_of("name: shop\njobs: {a: {image: x, volumes: ['v:/v'], triggers: {manual: true}}}\nvolumes: {v: }")
    text = """\
name: shop
jobs:
  a:
    command: null
    entrypoint: null
    image: x
    networks: {default: null}
    triggers: {manual: true}
    volumes: [{type: volume, source: v, target: /v, volume: {}}]
networks: {default: {name: shop_default}}
volumes: {v: {name: shop_v}}
"""
    normalised = {job.key: job for job in read_compose(text, Origin(None, {})).jobs}
    assert {key: (job.id, job.fields) for key, job in normalised.items()} == {key: (job.id, job.fields) for key, job in plain.items()}


DOCKER = """\
#!/bin/sh
case "$*" in "compose --profile * -p $PROJECT -f $FILE config --no-path-resolution"*) ;; *) exit 3 ;; esac
cat <<END
name: $PROJECT
jobs:
  there: {image: x, command: 'echo $$HOME', triggers: {manual: true}, volumes: ['data:/d'], build: .}
  left: {image: x, triggers: {manual: true}, profiles: [rare]}
volumes: {data: {name: ${PROJECT}_data}}
END
"""
"""Stands in for `docker compose`, which no machine of these tests has: it answers with what Docker would have included."""


def test_included_files_are_resolved_by_docker_compose(tmp_path, monkeypatch):
    file, program = tmp_path / "compose.yaml", tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FILE", str(file))
    file.write_text("name: shop\ninclude: [other.yaml]")
    monkeypatch.setenv("PROJECT", "shop")
    with pytest.raises(FileFault, match=r"^jobs.there.build: a swarm builds no image"):
        read_compose(file.read_text(), Origin(file, {}))
    program.write_text(DOCKER.replace(", build: .", "").replace("$$", r"\$\$"))
    (job,) = read_compose(file.read_text(), Origin(file, {})).jobs
    assert (job.task, job.fields["command"], job.fields["container"]["mounts"][0]["source"]) == ("shop", "echo $HOME", "shop_data")
    monkeypatch.setenv("PROJECT", "prod")
    prod = read_compose(file.read_text(), Origin(file, {}, "prod"))
    assert (prod.jobs[0].task, prod.jobs[0].fields["container"]["mounts"][0]["source"]) == ("prod", "prod_data")
    assert len(prod.left_out) == 1
    monkeypatch.setenv("PROJECT", "shop")
    program.write_text("#!/bin/sh\necho jobs is not allowed >&2; exit 1")
    with pytest.raises(FileFault, match=r"include: needs `docker compose`, which refuses the file or is not here \(jobs is not allowed\)"):
        read_compose(file.read_text(), Origin(file, {}))


EXTENDS = """\
x-jobs:
  weekly:
    extends: {file: base.yaml, service: common}
    environment: {DAY: $DAY}
    command: [echo, "$$HOME"]
    triggers: {schedule: ["0 3 * * 1"]}
    x-fastlane: {retries: 2}
  other: {image: y, triggers: {manual: true}}
"""
MERGED = """#!/bin/sh
cat > asked; echo "$*" >> asked
cat <<'END'
services:
  weekly:
    image: shop:$TAG
    command: [echo, "$$HOME"]
    environment: [LEVEL=low, DAY=$DAY]
    ports: [{mode: ingress, published: "80", target: 80}]
    restart: always
  other: {image: y}
END
"""
"""Stands in for `docker compose`, as above."""


def test_jobs_that_extend_a_service_are_merged_by_docker_compose(tmp_path, monkeypatch):
    file, program = tmp_path / "compose.yaml", tmp_path / "docker"
    monkeypatch.chdir(tmp_path)
    program.write_text(MERGED)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file.write_text(EXTENDS)
    weekly, other = read_compose(EXTENDS, Origin(file, {"TAG": "7", "DAY": "mon"}, "shop")).jobs
    assert (weekly.fields["image"], weekly.fields["command"]) == ("shop:7", ["echo", "$HOME"])
    assert (weekly.fields["envs"], weekly.fields["retries"]) == ({"LEVEL": "low", "DAY": "mon"}, 2)
    assert (weekly.fields["cron"], other.fields["image"]) == ("0 3 * * 1", "y")
    asked = (tmp_path / "asked").read_text()
    assert ("triggers" in asked, "x-fastlane" in asked) == (False, False), "Docker does not take these in a service"
    assert f"-p shop --project-directory {tmp_path} -f - config --no-path-resolution --no-interpolate" in asked
    program.write_text("#!/bin/sh\necho no such service: common >&2; exit 1")
    with pytest.raises(FileFault, match=r"extends: needs `docker compose`, which refuses the file or is not here \(no such service"):
        read_compose(EXTENDS, Origin(file, {}, "shop"))
    with pytest.raises(FileFault, match="extends: is not resolved on standard input"):
        read_compose(EXTENDS, Origin(None, {}, "shop"))


def test_standard_input_without_a_name_needs_one():
    with pytest.raises(FileFault, match="--project NAME"):
        read_compose("jobs: {a: {image: x, triggers: {manual: true}}}", Origin(None, {}))
    with pytest.raises(FileFault, match=r"^name: is 'shop', .* `docker compose -p prod config`, or give --project shop$"):
        read_compose("name: shop\njobs: {a: {image: x, triggers: {manual: true}}}", Origin(None, {}, "prod"))


WHOLE = {
    "image": "ubuntu", "command": ["sh", "-c", "echo $HOME; exit 1"], "envs": {"LEVEL": "x${y}", "API_TOKEN": "hunter2"},
    "cron": ["30 6 * * 1", {"cron": "0 4 * * *", "timezone": "Europe/Berlin", "overlap": "queue", "catchUp": "none"}],
    "overlap": "skip", "retries": 2, "retryDelay": "1m", "timeout": "5m", "labels": {"team": "data"}, "metadata": {"cost": "5 $"},
    "resources": {"cpus": 0.5, "memory": "64m", "reserve": {"cpus": 0.2, "memory": "32m", "generic": {"gpu": 1}}},
    "container": {
        "user": "app", "stopGrace": "20s", "init": False, "networks": ["back"], "secrets": [{"name": "key", "target": "k"}],
        "mounts": ["/srv:/s:ro", "data:/d", {"type": "tmpfs", "target": "/t", "size": "1m"}], "constraints": ["node.role==worker"],
        "extraHosts": {"db": "10.0.0.7"}, "entrypoint": "sh -c '$HOME'", "hostname": "worker", "readOnly": True, "dns": ["10.0.0.53"],
        "configs": ["conf", {"name": "pins", "target": "/etc/p", "uid": 103, "mode": "0440"}],
        "capAdd": ["CAP_NET_ADMIN"], "capDrop": ["ALL"], "sysctls": {"net.core.somaxconn": 1024}, "ulimits": {"nofile": "1:2", "core": 0},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        WHOLE,
        {"name": "whole", **WHOLE},
        {"image": "ubuntu", "cron": "@daily", "timezone": "Europe/Berlin"},
        {"image": "ubuntu", "cron": "0 3 * * *", "catchUp": "none", "overlap": "queue"},
        {"image": "ubuntu", "manual": True, "name": "by hand", "parameters": {"SIZE": {"choices": ["s", "m"], "default": "s"}}},
        {"image": "ubuntu", "manual": True, "container": {"networks": ["host"]}},
    ],
)
async def test_a_job_that_is_exported_applies_to_no_change(server, line, fields):
    posted = (await server.post("/tasks/shop%20job", fields)).json
    before = (await server.get(posted["jobUrl"])).json["job"]["definition"]
    exported = await line("export", "--compose", posted["jobId"], "-o", "compose.yaml")
    assert exported.code == 0, exported.err
    assert ("set API_TOKEN" in exported.err) == ("envs" in fields)
    line.environment["API_TOKEN"] = "hunter2"
    applied = await line("apply", "-f", "compose.yaml")
    changed = "envs" in fields  # a digest of the secret value is added, once
    assert applied.lines[-1] == f"0 created, {int(changed)} changed, 0 removed, {int(not changed)} unchanged", applied.text + applied.err
    assert not changed or (await line("diff", "-f", "compose.yaml")).code == 0
    assert (await server.get("/jobs")).json["total"] == 1
    after = (await server.get(posted["jobUrl"])).json["job"]["definition"]
    assert {name: value for name, value in after.items() if name != "labels"} == {
        name: value for name, value in before.items() if name != "labels"
    }


async def test_a_job_of_a_compose_file_is_exported_as_dockers_own_words(server, line):
    write(line, DOCKERS)
    await line("apply", "-f", "compose.yaml")
    exported = await line("export", "--compose", "shop/report")
    assert (
        exported.text
        == """\
name: shop
jobs:
  report:
    image: registry.example.com/shop/report:7
    volumes:
    - shop_reports:/out
    triggers:
      schedule:
      - 30 6 * * 1
      - cron: '*/15 8-18 * * 1-5'
        timezone: Europe/Berlin
        concurrency: queue
        missed_fires: skip
volumes:
  shop_reports:
    external: true
"""
    )
    applied = await line("apply", "-f", "-", input=exported.out)
    assert applied.lines == ["  shop/migrate is not in the file; --prune removes it", "0 created, 0 changed, 0 removed, 1 unchanged"]


async def test_a_job_that_runs_once_is_not_exported(server, line):
    posted = (await server.post("/tasks/once", {"image": "ubuntu"})).json
    refused = await line("export", "--compose", posted["jobId"])
    assert (refused.code, refused.text, "runs once" in refused.err) == (1, "", True)
