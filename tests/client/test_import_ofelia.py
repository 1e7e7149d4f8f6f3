"""``fastlane import-ofelia``: Ofelia's jobs as a file for ``fastlane apply``."""

import pytest
import yaml

from fastlane.cli.client.job_file import read_jobs
from fastlane.cli.client.ofelia_file import jobs_of_ofelia, read_ofelia

CONFIG = """\
[global]
smtp-host = mail.example.com
email-to = ops@example.com
mail-only-on-error = true
save-folder = /var/log/ofelia

; what it does at night
[job-run "backup"]
Schedule = 0 0 3 * * *
image = ubuntu
command = tar cf /backup/${DAY}.tar /etc
volume = /srv/backup:/backup
volume = ./here:/there
environment = DAY=mon
environment = LEVEL=a=b
network = back
user = 1000
no-overlap = true
delete = true

[job-service-run "report"]
schedule = TZ=Europe/Berlin 30 6 * * 1
image = shop/report:7
hostname = report

[job-exec "flush"]
schedule = @every 15m
container = nginx-proxy
command = /bin/flush

[job-local "touch"]
schedule = @daily
command = touch /tmp/x

[job-run "often"]
schedule = @every 5s
image = ubuntu

[job-run "again"]
schedule = @hourly
container = old
"""


@pytest.fixture
def line(command_line):
    return command_line


async def test_ofelias_file_becomes_one_that_can_be_applied(line):
    made = await line("import-ofelia", "-", input=CONFIG.encode())
    assert made.code == 0
    content = yaml.safe_load(made.text)
    mail = {"notify": {"fails": ["ops@example.com"]}}
    assert content["jobs"] == {
        "backup": {
            "image": "ubuntu", "cron": "0 3 * * *", "command": "tar cf /backup/$${DAY}.tar /etc", "overlap": "skip",
            "envs": {"DAY": "mon", "LEVEL": "a=b"},
            "container": {"user": "1000", "networks": ["back"], "mounts": ["/srv/backup:/backup"]}, **mail,
        },
        "report": {"image": "shop/report:7", "cron": "30 6 * * 1", "timezone": "Europe/Berlin", **mail},
    }  # fmt: skip
    for words in (
        "[global]: save-folder is left out",
        '[job-run "backup"]: the volume ./here:/there is left out',
        "[job-run \"backup\"]: is the job 'backup'",
        '[job-service-run "report"]: hostname has no counterpart',
        "[job-exec \"flush\"]: it runs inside of 'nginx-proxy'",
        '[job-local "touch"]: it runs on the machine of Ofelia',
        "[job-run \"often\"]: '@every 5s' is not an interval",
        "[job-run \"again\"]: it starts the container 'old' again",
    ):
        assert f"fastlane: {words}" in made.err, made.err


async def test_with_an_image_jobs_of_other_containers_and_of_the_machine_are_carried_over(server, line):
    config = CONFIG.replace("email-to", "was-to").replace("network = back", "").replace("user = 1000", "").replace("volume = /srv", ";")
    made = await line("import-ofelia", "--image", "ubuntu", "--set", "old", "--timezone", "Europe/Paris", "-", input=config.encode())
    jobs = yaml.safe_load(made.text)["jobs"]
    assert {name: one["cron"] for name, one in jobs.items() if name in ("flush", "touch")} == {"flush": "@every 15m", "touch": "@daily"}
    (line.folder / "old.yaml").write_text(made.text)
    applied = await line("apply", "-f", "old.yaml")
    assert applied.lines[-1] == "4 created, 0 changed, 0 removed, 0 unchanged", applied.err
    assert {row["schedule"]["timezone"] for row in (await server.get("/jobs")).json["items"]} == {"Europe/Paris", "Europe/Berlin"}


COMPOSE = """\
services:
  web:
    image: nginx:1
    labels:
      ofelia.enabled: "true"
      ofelia.job-exec.flush.schedule: "@hourly"
      ofelia.job-exec.flush.command: /bin/flush
  ofelia:
    image: mcuadros/ofelia
    labels:
      - ofelia.job-run.date.schedule=0 0 1 * * *
      - ofelia.job-run.date.image=alpine
      - 'ofelia.job-run.date.volume=["data:/data", "more:/more:ro"]'
"""


async def test_labels_of_a_compose_file_are_read_too(line):
    made = await line("import-ofelia", "-", input=COMPOSE.encode())
    assert yaml.safe_load(made.text)["jobs"] == {
        "flush": {"image": "nginx:1", "cron": "@hourly", "command": "/bin/flush"},
        "date": {"image": "alpine", "cron": "0 1 * * *", "container": {"mounts": ["data:/data", "more:/more:ro"]}},
    }
    assert "here it runs in a new container of nginx:1" in made.err


async def test_dollar_signs_of_labels_mean_what_docker_makes_of_them(line):
    text = """\
services:
  web:
    image: nginx:$TAG
    labels:
      ofelia.job-exec.flush.schedule: "@hourly"
      ofelia.job-exec.flush.command: sh -c 'echo $$HOME $${HOME} $LEVEL ${LEVEL} $$$${HOME}'
      ofelia.job-exec.flush.environment: '["A=$$1", "B=${LEVEL}"]'
"""
    made = await line("import-ofelia", "-", input=text.encode())
    (job,) = read_jobs(made.text, {"TAG": "7", "LEVEL": "high"}).jobs
    assert job.fields["command"] == "sh -c 'echo $HOME ${HOME} high high $${HOME}'"
    assert (job.fields["image"], job.fields["envs"]) == ("nginx:7", {"A": "$1", "B": "high"})


async def test_what_is_neither_says_so(line):
    made = await line("import-ofelia", "-", input=b"a: 1")
    assert (made.code, "is neither Ofelia's file" in made.err) == (2, True)


@pytest.mark.parametrize(
    ("schedule", "fields"),
    [
        ("@every 1m", {"cron": "@every 1m"}),
        ("@every 1h30m", {"cron": "@every 1h30m"}),
        ("@every 90s", None),
        ("@triggered", {"manual": True}),
        ("0 */5 * * * ?", {"cron": "*/5 * * * *"}),
        ("30 0 1 * * *", None),
        ("@reboot", None),
        ("@every 0.5h", None),
        ("@every", None),
        ("@fortnightly", None),
        ("* * * *", None),
    ],
)
def test_a_schedule_is_carried_over_or_left_out(schedule, fields):
    said = []
    jobs = jobs_of_ofelia(read_ofelia(f'[job-run "a"]\nschedule = {schedule}\nimage = x\n'), None, said.append)
    assert jobs == ({} if fields is None else {"a": {"image": "x", **fields}}), said
    assert said


async def test_it_may_be_written_in_two_words(line):
    (line.folder / "config.ini").write_text(CONFIG)
    one = await line("import-ofelia", "--image", "ubuntu", "config.ini")
    two = await line("import", "ofelia", "--image", "ubuntu", "config.ini")
    assert (two.code, two.out, two.err) == (0, one.out, one.err)
    (line.folder / "crontab").write_text("0 3 * * * ls\n")
    crontabs = [await line(*words, "--image", "ubuntu", "crontab") for words in (("import-crontab",), ("import", "crontab"))]
    assert (crontabs[1].code, crontabs[1].out) == (0, crontabs[0].out)
    missing = await line("import", "ofelia")
    assert (missing.code, "'ofelia' does not exist" in missing.err) == (2, True)
