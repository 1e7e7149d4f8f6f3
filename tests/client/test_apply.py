"""``fastlane apply``, ``diff`` and ``import-crontab``: a team's schedules, kept in files."""

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from fastlane.cli.client.job_file import read_jobs
from fastlane.cli.client.yaml_text import FileFault
from tests.support import jobs_schema

ID = "6f1b8a52-53a5-4d6e-9a0e-0a4d4a1f6c11"
FILE = """\
set: data
defaults: {image: ubuntu, timezone: Europe/Berlin}
jobs:
  nightly:
    task: backup
    cron: "0 3 * * *"
    command: [sh, -c, "echo $${HOME} ${GREETING}"]
    envs: {API_TOKEN: "${SECRET}", LEVEL: 3}
    labels: {team: data}
  hourly: {cron: "@hourly", timeout: 5m}
"""


@pytest.fixture
def line(command_line):
    """The command in a folder with a file of two jobs."""
    command_line.environment |= {"GREETING": "hello", "SECRET": "hunter2"}
    (command_line.folder / "jobs.yaml").write_text(FILE)
    return command_line


def change(line, old: str, new: str) -> None:
    file = line.folder / "jobs.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_job_with_a_service_or_an_image_takes_neither_from_the_defaults():
    file = FILE + "  migrate: {service: shop_web, manual: true}\n"
    jobs = {job.key: job.fields for job in read_jobs(file, {"GREETING": "", "SECRET": ""}).jobs}
    assert (jobs["migrate"].get("image"), jobs["migrate"]["service"], jobs["hourly"]["image"]) == (None, "shop_web", "ubuntu")
    file = FILE.replace("{image: ubuntu", "{service: shop_web").replace('{cron: "@hourly"', '{image: debian, cron: "@hourly"')
    jobs = {job.key: job.fields for job in read_jobs(file, {"GREETING": "", "SECRET": ""}).jobs}
    assert (jobs["nightly"]["service"], jobs["hourly"].get("service"), jobs["hourly"]["image"]) == ("shop_web", None, "debian")


async def test_a_file_is_applied_once_and_then_changes_nothing(server, line):
    assert (await line("diff", "-f", "jobs.yaml")).code == 1
    assert (await server.get("/jobs")).json["items"] == []
    first = await line("apply", "-f", "jobs.yaml")
    assert (first.code, first.lines[-1]) == (0, "2 created, 0 changed, 0 removed, 0 unchanged"), first.err
    before = (await server.get("/jobs")).json["items"]
    assert {(row["taskId"], row["name"], row["schedule"]["timezone"]) for row in before} == {
        ("backup", "nightly", "Europe/Berlin"), ("hourly", "hourly", "Europe/Berlin"),
    }  # fmt: skip
    assert {row["command"] for row in before} == {"sh -c 'echo ${HOME} hello'", None}
    second = await line("apply", "-f", "jobs.yaml")
    assert second.lines == ["0 created, 0 changed, 0 removed, 2 unchanged"]
    assert (await server.get("/jobs")).json["items"] == before
    assert (await line("diff", "-f", "jobs.yaml")).code == 0


async def test_what_changes_is_shown_and_only_that_is_changed(server, line):
    await line("apply", "-f", "jobs.yaml")
    hourly = (await server.get("/jobs?task=hourly")).json["items"]
    change(line, '"0 3 * * *"', '"0 4 * * *"')
    change(line, "team: data", "team: ops")
    shown = await line("diff", "-f", "jobs.yaml")
    assert shown.lines == [
        "~ backup/nightly",
        '    cron: "0 3 * * *" → "0 4 * * *"',
        '    labels.team: "data" → "ops"',
        "0 to create, 1 to change, 0 to remove, 1 unchanged",
    ]
    assert (await line("apply", "-f", "jobs.yaml")).lines[-1] == "0 created, 1 changed, 0 removed, 1 unchanged"
    assert (await server.get("/jobs?task=hourly")).json["items"] == hourly
    assert (await line("jobs", "backup", "--format", "{schedule.cron} {labels.team}")).lines == ["0 4 * * * ops"]


async def test_a_secret_that_changes_is_seen_and_not_shown(server, line):
    await line("apply", "-f", "jobs.yaml")
    line.environment["SECRET"] = "hunter3"
    shown = await line("diff", "-f", "jobs.yaml")
    assert shown.lines[:2] == ["~ backup/nightly", "    a secret value changes"]
    applied = await line("apply", "-f", "jobs.yaml")
    assert "hunter" not in shown.text + applied.text
    assert (await line("diff", "-f", "jobs.yaml")).code == 0
    assert "hunter" not in (await line("inspect", "backup")).text


async def test_a_secret_default_of_a_parameter_that_changes_is_seen_and_not_shown(server, line):
    file = line.folder / "secret.yaml"
    text = "set: s\njobs: {{pin: {{image: ubuntu, manual: true, parameters: {{PIN: {{secret: true, default: hunter{}}}}}}}}}\n"
    file.write_text(text.format(2))
    await line("apply", "-f", "secret.yaml")
    assert (await line("diff", "-f", "secret.yaml")).code == 0
    file.write_text(text.format(3))
    shown = await line("apply", "-f", "secret.yaml")
    assert "a secret value changes" in shown.text
    assert "hunter" not in shown.text
    assert (await line("diff", "-f", "secret.yaml")).code == 0


async def test_only_what_the_same_set_made_is_removed_and_only_if_that_is_wanted(server, line):
    await line("apply", "-f", "jobs.yaml")
    await line("schedule", "--task", "hourly", "--cron", "@daily", "ubuntu")
    (line.folder / "other.yaml").write_text("set: other\njobs: {kept: {image: ubuntu, cron: '@daily'}}\n")
    await line("apply", "-f", "other.yaml")
    change(line, "  hourly:", "  daily:")
    left = await line("apply", "-f", "jobs.yaml")
    assert "  hourly/hourly is not in the file; --prune removes it" in left.lines
    assert (await server.get("/jobs")).json["total"] == 5
    pruned = await line("apply", "-f", "jobs.yaml", "--prune")
    assert pruned.lines == ["- hourly/hourly", "0 created, 0 changed, 1 removed, 2 unchanged"]
    names = {(row["taskId"], row["name"]) for row in (await server.get("/jobs")).json["items"]}
    assert names == {("backup", "nightly"), ("daily", "daily"), ("hourly", None), ("kept", "kept")}


async def test_a_stopped_job_is_scheduled_again_and_a_paused_one_stays_so(server, line):
    await line("apply", "-f", "jobs.yaml")
    await line("stop", "backup")
    await line("pause", "hourly")
    applied = await line("apply", "-f", "jobs.yaml")
    assert applied.lines[:2] == ["~ backup/nightly", '    status: "stopped" → "scheduled"']
    assert set((await line("jobs", "--format", "{taskId} {status}")).lines) == {"backup scheduled", "hourly paused"}


async def test_a_manual_job_of_a_file_is_made_runs_by_hand_and_stays_as_it_is(server, line):
    change(line, 'hourly: {cron: "@hourly", timeout: 5m}', "migrate: {manual: true, overlap: skip}")
    change(line, "timezone: Europe/Berlin}", "timezone: Europe/Berlin, cron: '@daily', catchUp: none}")
    assert (await line("apply", "-f", "jobs.yaml")).lines[-1].startswith("2 created")
    (row,) = (await server.get("/jobs?status=idle")).json["items"]
    assert (row["name"], row["schedule"]["overlap"]) == ("migrate", "skip")
    for verb in ("run-now", "stop"):
        assert (await line(verb, "migrate")).code == 0
        assert (await line("diff", "-f", "jobs.yaml")).code == 0
    change(line, "manual: true", "cron: '@hourly'")
    assert '    kind: "manual" → "cron"' in (await line("apply", "-f", "jobs.yaml")).lines
    change(line, "cron: '@hourly'", "manual: true")
    assert '    kind: "cron" → "manual"' in (await line("apply", "-f", "jobs.yaml")).lines


async def test_all_faults_are_named_and_nothing_is_changed(server, line):
    change(line, "timeout: 5m", "timeout: never, imgae: x")
    change(line, '"0 3 * * *"', '"0 0 31 2 *"')
    refused = await line("apply", "-f", "jobs.yaml")
    assert refused.code == 2
    for words in ("jobs.nightly.cron: ", "jobs.hourly.timeout: ", "jobs.hourly.imgae: "):
        assert f"fastlane: jobs.yaml: {words}" in refused.err, refused.err
    assert (await server.get("/jobs")).json["items"] == []
    del line.environment["SECRET"]
    change(line, "imgae: x", "startIn: 5m")
    again = await line("apply", "-f", "jobs.yaml")
    told = [text.split(": ")[2] for text in again.err.splitlines()]
    assert told == ["jobs.nightly.envs.API_TOKEN", "jobs.hourly.startIn", "jobs.nightly.cron", "jobs.hourly.timeout"]
    assert again.code == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no jobs"),
        ("a: [", "is not YAML"),
        ("set: x\njobs:\n  a: {cron: '@daily'}\n  a: {cron: '@daily'}", "'a' appears twice"),
        ("set: x\njobs: {a: {image: b}}", "jobs.a.cron: is missing"),
        ("set: x\njobs: {a: {image: b, cron: '@daily', startIn: 5m}}", "jobs.a.startIn: cannot be applied"),
        ("set: x\njobs: {a: {image: !!int abc}}", "line 2: the value cannot be read as int"),
        ("set: x\njobs: {a: {image: !!int ''}}", "line 2: the value cannot be read as int"),
        ("set: x\njobs: {a: {image: !!float x}}", "line 2: the value cannot be read as float"),
        ("set: x\njobs: {a: {manual: !!bool foo}}", "line 2: the value cannot be read as bool"),
        (f"set: x\njobs: {{a: {{retries: {'1' * 5000}}}}}", "line 2: the value cannot be read as int"),
        ("set: x\njobs: {a: {image: !!timestamp x}}", "line 2: the tag !!timestamp is not known here"),
        ("set: x\njobs: {a: {image: !!binary aGk=}}", "line 2: the tag !!binary is not known here"),
        ("set: x\njobs: {a: !!set {image}}", "line 2: the tag !!set is not known here"),
        ("set: x y\njobs: {a: {cron: '@daily'}}", "set: needs a name"),
        ("jbos: {}\nset: x\njobs: {a: 1}", "jbos: there is no such key"),
        ("set: x\njobs: {a: {cron: '${NONE}'}}", "jobs.a.cron: the variable NONE is not set"),
        ("set: x\njobs: {a: {cron: '@daily', id: 7}}", "jobs.a.id: is not the id of a job"),
        ("set: x\ndefaults: {id: 7}\njobs: {a: {cron: '@daily'}}", "defaults.id: is for one job"),
        (f"set: x\njobs: {{a: {{cron: '@daily', id: {ID}}}, b: {{cron: '@daily', id: {ID}}}}}", "jobs.b.id: is the id of another job"),
    ],
)
def test_a_file_that_cannot_be_meant_says_why(text, words):
    with pytest.raises(FileFault) as fault:
        read_jobs(text, {})
    assert words in str(fault.value)


def test_a_value_that_comes_by_a_yaml_merge_may_be_replaced():
    text = "set: x\ndefaults: &all {image: a, cron: '@daily'}\njobs:\n  one:\n    <<: *all\n    image: b\n"
    assert read_jobs(text, {}).jobs[0].fields["image"] == "b"


async def test_a_file_takes_over_a_job_that_was_posted(server, line):
    posted = (await server.post("/tasks/hourly", {"image": "ubuntu", "cron": "@hourly"})).json
    text = f"set: x\njobs: {{hourly: {{id: {posted['jobId']}, name: null, image: ubuntu, cron: '@hourly'}}}}\n"
    (line.folder / "own.yaml").write_text(text)
    assert (await line("apply", "-f", "own.yaml")).lines == ["0 created, 0 changed, 0 removed, 1 unchanged"]
    (line.folder / "own.yaml").write_text(text.replace("ubuntu", "debian"))
    changed = await line("apply", "-f", "own.yaml")
    assert changed.lines[:3] == ["~ hourly/hourly", '    image: "ubuntu" → "debian"', '    labels.fastlane/set: null → "x"']
    assert (await server.get("/jobs")).json["total"] == 1


def test_ids_come_from_names():
    first, again = (read_jobs(FILE, {"GREETING": "a", "SECRET": "b"}) for _ in range(2))
    assert first == again
    other = read_jobs(FILE.replace("set: data", "set: other"), {"GREETING": "a", "SECRET": "b"})
    assert not {job.id for job in first.jobs} & {job.id for job in other.jobs}


async def test_the_schema_takes_the_file_and_no_misspelled_one(line):
    schema = json.loads((await line("apply", "--schema")).text)
    assert schema == json.loads(jobs_schema.content())
    validator = Draft202012Validator(schema)
    content = yaml.safe_load(FILE)
    validator.validate(content)
    content["jobs"]["hourly"]["imgae"] = "x"
    assert [error.validator for error in validator.iter_errors(content)] == ["additionalProperties"]


CRONTAB = """\
# a comment
MAILTO=ops@example.com
SHELL=/bin/bash
LEVEL="debug"
CRON_TZ=Europe/Berlin
0 3 * * * /usr/local/bin/backup --all > /dev/null 2>&1
*/5 * * * 1-5\tbackup ${HOME} 100\\%
@reboot start-something
@daily report
0 1 * * * mail%hello
nonsense
"""


async def test_a_crontab_becomes_a_file_that_can_be_applied(server, line):
    made = await line("import-crontab", "--image", "ubuntu", "--set", "old", "-", input=CRONTAB.encode())
    assert [text.split(":")[1].strip() for text in made.err.splitlines()] == ["line 2", "line 8", "line 10", "line 11"]
    jobs = yaml.safe_load(made.text)["jobs"]
    assert "MAILTO became notify.fails" in made.err
    common = {"envs": {"LEVEL": "debug"}, "timezone": "Europe/Berlin", "notify": {"fails": ["ops@example.com"]}}
    assert jobs == {
        "backup": {"cron": "0 3 * * *", "command": ["/bin/bash", "-c", "/usr/local/bin/backup --all > /dev/null 2>&1"], **common},
        "backup-2": {"cron": "*/5 * * * 1-5", "command": ["/bin/bash", "-c", "backup $${HOME} 100%"], **common},
        "report": {"cron": "@daily", "command": ["/bin/bash", "-c", "report"], **common},
    }
    (line.folder / "crontab.yaml").write_text(made.text)
    refused = await line("apply", "-f", "crontab.yaml")
    assert [text.split(": ")[2] for text in refused.err.splitlines()] == [f"jobs.{name}.notify" for name in jobs], refused.err
    content = yaml.safe_load(made.text)
    content["jobs"] = {name: {**fields, "notify": {}} for name, fields in jobs.items()}
    (line.folder / "crontab.yaml").write_text(yaml.safe_dump(content))
    assert (await line("apply", "-f", "crontab.yaml")).lines[-1] == "3 created, 0 changed, 0 removed, 0 unchanged"
    assert "backup ${HOME} 100%" in (await line("jobs", "old", "--format", "{command}")).text


async def test_a_mailbox_of_cron_s_machine_is_left_out_and_an_empty_mailto_ends_mails(line):
    text = b'MAILTO=root, ops@example.com\n@daily one\nMAILTO=""\n@daily two\n'
    made = await line("import-crontab", "--image", "ubuntu", "-", input=text)
    assert "MAILTO root is left out" in made.err
    jobs = yaml.safe_load(made.text)["jobs"]
    assert (jobs["one"]["notify"], jobs["two"].get("notify")) == ({"fails": ["ops@example.com"]}, None)


async def test_a_system_crontab_has_users(line):
    made = await line("import-crontab", "--image", "ubuntu", "--system", "-", input=b"17 * * * * root run-parts /etc/cron.hourly\n")
    assert yaml.safe_load(made.text)["jobs"]["run-parts"]["command"][2] == "run-parts /etc/cron.hourly"


async def test_webhooks_are_applied_once_and_a_header_that_changes_is_seen_and_not_shown(server, line):
    hook = '{fails: [{url: "https://example.com/x", headers: {Authorization: "${SECRET}"}}]}'
    change(line, "labels: {team: data}", f"labels: {{team: data}}\n    webhooks: {hook}")
    await line("apply", "-f", "jobs.yaml")
    assert (await line("apply", "-f", "jobs.yaml")).lines == ["0 created, 0 changed, 0 removed, 2 unchanged"]
    change(line, 'API_TOKEN: "${SECRET}", ', "")
    await line("apply", "-f", "jobs.yaml")
    line.environment["SECRET"] = "hunter3"
    shown = await line("diff", "-f", "jobs.yaml")
    assert shown.lines[:2] == ["~ backup/nightly", "    a secret value changes"]
    assert "hunter" not in shown.text
    await line("apply", "-f", "jobs.yaml")
    assert (await line("diff", "-f", "jobs.yaml")).code == 0
    change(line, "example.com/x", "example.com/y")
    assert "    webhooks.fails: " in "\n".join((await line("diff", "-f", "jobs.yaml")).lines)
