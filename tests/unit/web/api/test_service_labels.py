"""What the labels of a service declare: each label follows from a field of the job, and what cannot be read is told by its label."""

import json
from typing import Any

import pytest

from fastlane.models.container import ConfigFile, Container, Resources, Ulimit
from fastlane.models.job_source import DeclaredJob, LabelledService
from fastlane.models.notify import NotificationTrigger
from fastlane.models.schedule import CatchUp, Overlap
from fastlane.web.api.job import FIELDS, JOB_BODY
from fastlane.web.api.job_body import JobRules
from fastlane.web.api.service_labels import NOT_LABELS, label_of, read_labels_of

RULES = JobRules(hard_retries=10, hard_timeout=1800, notify_allow=("*",))
NOON = 1_800_000_000_000
CRON = {"fastlane.cron": "0 3 * * *"}
CRONJOB = {"swarm.cronjob.enable": "true", "swarm.cronjob.schedule": "0 3 * * *"}


def read(**labels: str) -> tuple[DeclaredJob, ...]:
    return read_labels_of(LabelledService("id", "shop_web", 7, {"com.docker.stack.namespace": "shop"} | labels), NOON, RULES)


def one(**labels: str) -> DeclaredJob:
    (declared,) = read(**labels)
    return declared


def job(**labels: str) -> tuple[Any, Any]:
    declared = one(**labels)
    assert not declared.faults
    return declared.spec, declared.schedule


def faults(**labels: str) -> dict[str, str]:
    return {fault.field: fault.message for declared in read(**labels) for fault in declared.faults}


def test_a_service_with_a_cron_declares_a_job_that_runs_as_this_service() -> None:
    spec, schedule = job(**CRON)
    assert (spec.service, spec.name, schedule.cron.text, schedule.cron.timezone) == ("shop_web", "web", "0 3 * * *", "UTC")


def test_every_field_of_a_job_has_a_label_but_for_those_that_say_what_else_to_run() -> None:
    assert set(NOT_LABELS) < set(FIELDS)
    for name in JOB_BODY.fields:
        label, refused = f"fastlane.{label_of(name)}", ("is not a label of a job", "cannot be a label")
        assert faults(**CRON | {label: "{"}).get(label, "").startswith(refused) is (name in NOT_LABELS)


@pytest.mark.parametrize(
    ("label", "text", "path", "value"),
    [
        ("retries", "3", "retries", 3),
        ("timeout", "2m30s", "timeout", 150_000),
        ("timeout", "90", "timeout", 90_000),
        ("priority", "-5", "priority", -5),
        ("command", "sh -c 'echo hi'", "command", ("sh", "-c", "echo hi")),
        ("command", '["sh", "-c", "echo hi"]', "command", ("sh", "-c", "echo hi")),
        ("command", "[ -f /ready ]", "command", ("[", "-f", "/ready", "]")),
        ("envs.ZIP", "007", "envs", {"ZIP": "007"}),
        ("envs", '{"LEVEL": "debug"}', "envs", {"LEVEL": "debug"}),
        ("labels.team.example/cost", "7", "labels", {"team.example/cost": "7"}),
        ("resources.reserve.cpus", "0.5", "resources", Resources(reserve_cpus=0.5)),
        ("resources.memory", "512m", "resources", Resources(memory=512 << 20)),
        ("expires-in", "1h", "expires_in", 3_600_000),
        ("name", "nightly", "name", "nightly"),
    ],
)
def test_a_labels_text_is_read_as_the_fields_declaration_says(label: str, text: str, path: str, value: object) -> None:
    spec, _ = job(**CRON, **{f"fastlane.{label}": text})
    assert getattr(spec, path) == value


def test_parts_of_objects_and_lists_are_read_from_labels() -> None:
    notified = {"fastlane.notify.fails": "ann@example.com, bob@example.com"}
    hooks = {"fastlane.webhooks.finishes": '[{"url": "https://hooks.example.com/x"}]'}
    spec, schedule = job(**CRON, **notified, **hooks, **{"fastlane.overlap": "skip", "fastlane.catch-up": "none"})
    assert [(one.trigger, one.address) for one in spec.notify] == [
        (NotificationTrigger.FAILS, "ann@example.com"),
        (NotificationTrigger.FAILS, "bob@example.com"),
    ]
    assert [hook.url for hook in spec.webhooks] == ["https://hooks.example.com/x"]
    assert (schedule.overlap, schedule.catch_up) == (Overlap.SKIP, CatchUp.NONE)


def test_options_of_the_container_are_read_from_labels() -> None:
    spec, _ = job(
        **CRON,
        **{
            f"fastlane.container.{name}": text
            for name, text in {
                **{"entrypoint": "sh -c", "read-only": "true", "cap-drop": "NET_RAW, CHOWN", "configs": "a, b", "dns": "10.0.0.53"},
                **{"sysctls.net.core.somaxconn": "1", "ulimits.nofile": "1:2", "ulimits.core": "0", "hostname": "worker"},
            }.items()
        },
    )
    assert spec.container == Container(
        entrypoint=("sh", "-c"), read_only=True, cap_drop=("NET_RAW", "CHOWN"), dns=("10.0.0.53",), hostname="worker",
        configs=(ConfigFile("a", "/a"), ConfigFile("b", "/b")),
        sysctls={"net.core.somaxconn": "1"}, ulimits={"nofile": Ulimit(1, 2), "core": Ulimit(0, 0)},
    )  # fmt: skip


def test_a_manual_job_has_parameters_by_label() -> None:
    texts = {"default": "v1", "choices": "v1, v2", "required": "true"}
    labels = {f"fastlane.parameters.VERSION.{name}": text for name, text in texts.items()}
    spec, schedule = job(**{"fastlane.manual": "true"}, **labels)
    version = spec.parameters["VERSION"]
    assert (schedule.is_manual, version.default, version.choices, version.required) == (True, "v1", ("v1", "v2"), True)


def test_a_suffix_makes_a_job_of_its_own() -> None:
    jobs = read(**CRON, **{"fastlane.job.weekly.cron": "0 4 * * 1", "fastlane.job.weekly.command": "report"})
    assert [(found.suffix, found.spec and found.spec.name, found.spec and found.spec.command) for found in jobs] == [
        ("", "web", None),
        ("weekly", "web-weekly", ("report",)),
    ]


def test_several_crons_are_one_label() -> None:
    _, schedule = job(**{"fastlane.cron": json.dumps(["30 6 * * 1", {"cron": "0 12 * * 5", "overlap": "queue"}])})
    assert [entry.text for entry, _ in schedule.entries] == ["30 6 * * 1", "0 12 * * 5"]


@pytest.mark.parametrize(
    ("labels", "label", "words"),
    [
        ({"fastlane.corn": "0 3 * * *"}, "fastlane.corn", "the nearest is 'cron'"),
        ({"fastlane.catchUp": "none"}, "fastlane.catchUp", "the nearest is 'catch-up'"),
        ({"fastlane.timeout": "5m"}, "fastlane.timeout", "says nothing of when it runs"),
        ({"fastlane.manual": "false"}, "fastlane.manual", "says nothing of when it runs"),
        ({"fastlane.retries": "many", **CRON}, "fastlane.retries", "whole number"),
        ({"fastlane.notify.fail": "ann@example.com", **CRON}, "fastlane.notify.fail", "its parts are: succeeds, fails"),
        ({"fastlane.notify.fails": "ann", **CRON}, "fastlane.notify.fails", "not an e-mail address"),
        ({"fastlane.image": "ubuntu", **CRON}, "fastlane.image", "runs as this service's container"),
        ({"fastlane.start-in": "5m"}, "fastlane.start-in", "read again and again"),
        ({"fastlane.envs": '{"A": "0"}', "fastlane.envs.A": "1", **CRON}, "fastlane.envs.A", "is there twice"),
        ({"fastlane.envs.A": "1", "fastlane.envs": "{", **CRON}, "fastlane.envs", "is not JSON"),
        ({"fastlane.metadata": '{"x": 99999999999999999999}', **CRON}, "fastlane.metadata", "beyond 64 bits"),
        ({"fastlane.metadata": '{"x": ' + "[" * 10_000, **CRON}, "fastlane.metadata", "nested more than 32 deep"),
        ({"fastlane.metadata": '{"x": Infinity}', **CRON}, "fastlane.metadata", "Infinity is not JSON"),
        ({"fastlane.metadata": '{"x": NaN}', **CRON}, "fastlane.metadata", "NaN is not JSON"),
        ({"fastlane.cron": "0 3 * * *", "fastlane.manual": "true"}, "fastlane.cron", "cannot be used together with manual"),
        ({"fastlane.cron": "61 3 * * *"}, "fastlane.cron", "61"),
        ({"fastlane.job..cron": "0 3 * * *"}, "fastlane.job..cron", "fastlane.job.NAME.cron"),
        ({"fastlane.job.x": "0 3 * * *"}, "fastlane.job.x", "fastlane.job.NAME.cron"),
        ({"fastlane.timezone": "Berlin", **CRON}, "fastlane.timezone", "Berlin"),
        ({"fastlane.parameters.A.default": "x", "fastlane.envs.A": "x", **CRON}, "fastlane.parameters.A", "is in envs as well"),
        ({"fastlane.retries": "99", **CRON}, "fastlane.retries", "more than this server allows"),
    ],
)
def test_a_fault_names_its_label_and_the_remedy(labels: dict[str, str], label: str, words: str) -> None:
    found = faults(**labels)
    assert words in found[label], found


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        ("a/b", 'must not contain "/"'),
        ("..", "must not be"),
        ("a\0b", "control characters"),
        ("shop\n", "control characters"),
        ("s" * 5000, "at most 255 bytes"),
        ("bank", "'shop_web' is not of this stack"),
    ],
)
def test_a_stack_that_cannot_name_the_task_or_is_not_the_services_is_a_fault(stack: str, words: str) -> None:
    assert words in faults(**CRON, **{"com.docker.stack.namespace": stack})["com.docker.stack.namespace"]


def test_all_faults_are_told_at_once_and_other_jobs_of_the_service_are_read() -> None:
    jobs = read(**{"fastlane.cron": "nope", "fastlane.retries": "many", "fastlane.odd": "1", "fastlane.job.ok.cron": "@daily"})
    assert {found.suffix: sorted(fault.field for fault in found.faults) for found in jobs} == {
        "": ["fastlane.cron", "fastlane.odd", "fastlane.retries"],
        "ok": [],
    }


def test_services_without_such_labels_and_executions_declare_nothing() -> None:
    assert read(owner="ann") == ()
    execution = LabelledService("id", "fastlane-1", 7, {"fastlane.installation": "fastlane", "fastlane.job": "x"})
    assert not execution.declares
    assert read_labels_of(execution, NOON, RULES) == ()


def test_a_service_of_no_stack_belongs_to_the_task_services() -> None:
    service = LabelledService("id", "web", 7, CRON)
    assert (service.task_id, service.short_name) == ("services", "web")


@pytest.mark.parametrize(
    ("labels", "cron", "timezone", "overlap"),
    [
        ({}, "0 3 * * *", "UTC", Overlap.REPLACE),
        ({"swarm.cronjob.skip-running": "true"}, "0 3 * * *", "UTC", Overlap.SKIP),
        ({"swarm.cronjob.skip-running": "false"}, "0 3 * * *", "UTC", Overlap.REPLACE),
        ({"swarm.cronjob.schedule": "0 */5 * * * *"}, "*/5 * * * *", "UTC", Overlap.REPLACE),
        ({"swarm.cronjob.schedule": "00 0 3 ? * MON"}, "0 3 * * MON", "UTC", Overlap.REPLACE),
        ({"swarm.cronjob.schedule": "@daily"}, "@daily", "UTC", Overlap.REPLACE),
        ({"swarm.cronjob.schedule": "CRON_TZ=Europe/Berlin 0 3 * * *"}, "0 3 * * *", "Europe/Berlin", Overlap.REPLACE),
        ({"swarm.cronjob.registry-auth": "true", "swarm.cronjob.replicas": "1"}, "0 3 * * *", "UTC", Overlap.REPLACE),
    ],
)
def test_swarm_cronjobs_labels_mean_what_they_mean_there(labels: dict[str, str], cron: str, timezone: str, overlap: Overlap) -> None:
    declared = one(**CRONJOB | labels)
    assert not declared.faults
    assert not declared.remarks
    assert declared.schedule is not None
    assert declared.schedule.cron is not None
    assert (declared.schedule.cron.text, declared.schedule.cron.timezone, declared.schedule.overlap) == (cron, timezone, overlap)


def test_a_service_that_swarm_cronjob_would_not_run_declares_nothing() -> None:
    assert read(**CRONJOB | {"swarm.cronjob.enable": "false"}) == ()
    assert read(**{"swarm.cronjob.schedule": "0 3 * * *"}) == ()


def test_replicas_above_one_are_remarked_and_the_job_is_made() -> None:
    declared = one(**CRONJOB, **{"swarm.cronjob.replicas": "3"})
    assert declared.spec is not None
    assert [(remark.field, remark.message[:5]) for remark in declared.remarks] == [("swarm.cronjob.replicas", "is 3,")]


@pytest.mark.parametrize(
    ("labels", "label", "words"),
    [
        ({"swarm.cronjob.schedule": "*/10 * * * * *"}, "swarm.cronjob.schedule", "has seconds"),
        ({"swarm.cronjob.schedule": ""}, "swarm.cronjob.schedule", "is missing"),
        ({"swarm.cronjob.schedule": "@every 30s"}, "swarm.cronjob.schedule", "an interval of whole minutes"),
        ({"swarm.cronjob.enable": "ja"}, "swarm.cronjob.enable", "neither true nor false"),
        ({"swarm.cronjob.replicas": "0"}, "swarm.cronjob.replicas", "whole number"),
        ({"swarm.cronjob.run-once": "true", "swarm.cronjob.schedule": "30"}, "swarm.cronjob.run-once", "write fastlane.start-at"),
        ({"swarm.cronjob.run-once": "ja"}, "swarm.cronjob.run-once", "neither true nor false"),
        ({"fastlane.cron": "@daily"}, "swarm.cronjob.schedule", "together with fastlane.cron"),
    ],
)
def test_what_swarm_cronjobs_labels_cannot_mean_is_told(labels: dict[str, str], label: str, words: str) -> None:
    assert words in faults(**CRONJOB | labels)[label]


def test_our_labels_add_rules_to_swarm_cronjobs() -> None:
    spec, schedule = job(**CRONJOB, **{"fastlane.timeout": "5m", "fastlane.overlap": "queue"})
    assert (spec.timeout, schedule.overlap) == (300_000, Overlap.QUEUE)


def test_an_interval_counts_as_it_does_there() -> None:
    declared = one(**CRONJOB | {"swarm.cronjob.schedule": "@every 7m"})
    assert declared.schedule is not None
    assert declared.schedule.cron is not None
    assert (declared.schedule.cron.text, list(declared.remarks)) == ("@every 7m", [])


@pytest.mark.parametrize(
    ("deployed", "field", "words"),
    [
        ({"mode": "global"}, "deploy.mode", "is global, and each due time starts one container"),
        ({"mode": "global-job"}, "deploy.mode", "is global-job, and each due time starts one container"),
        ({"mode": "replicated-job", "completions": 4}, "deploy.replicas", "asks for 4 containers of a replicated-job"),
        ({"restarts": "on-failure"}, "deploy.restart_policy", "add fastlane.retries"),
    ],
)
def test_what_a_services_mode_means_for_swarm_cronjob_alone_is_remarked(deployed: dict[str, Any], field: str, words: str) -> None:
    def remarks(labels: dict[str, str]) -> dict[str, str]:
        (declared,) = read_labels_of(LabelledService("id", "web", 7, labels, **deployed), NOON, RULES)
        assert declared.spec is not None
        return {remark.field: remark.message for remark in declared.remarks}

    assert words in remarks(CRONJOB)[field]
    assert len(remarks(CRONJOB)) == 1
    assert remarks(CRON) == {}
    assert ("deploy.restart_policy" in remarks({**CRONJOB, "fastlane.retries": "2"})) is False


@pytest.mark.parametrize("deployed", [{"mode": "replicated-job"}, {"restarts": "none"}, {"restarts": "any"}])
def test_what_swarm_cronjobs_pages_tell_to_write_is_not_remarked(deployed: dict[str, Any]) -> None:
    (declared,) = read_labels_of(LabelledService("id", "web", 7, CRONJOB, **deployed), NOON, RULES)
    assert (len(declared.faults), len(declared.remarks)) == (0, 0)


def test_labels_are_read_the_same_when_their_moments_are_over() -> None:
    over = {"fastlane.start-at": "2026-12-01T10:00:00Z", "fastlane.expires-in": "1h", "fastlane.expiration": "2026-12-01T11:00:00Z"}
    assert faults(**over) == {}
