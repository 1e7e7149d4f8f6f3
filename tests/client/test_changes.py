"""``fastlane edit``, ``set`` and ``start``: a job is changed with what is there, and what is not touched stays, secrets too."""

import pytest
import yaml

CRON = "0 3 * * *"


@pytest.fixture
async def job(server):
    """A job with a secret."""
    envs = {"LEVEL": "debug", "API_TOKEN": "hunter2"}
    reply = await server.enqueue("backup", name="nightly", cron=CRON, command="tar cf", envs=envs, timeout="20m", retries=2)
    return reply


@pytest.fixture
def edits(command_line):
    """Runs ``fastlane edit`` with an editor that is called once for each of these functions, which change the text; what it was shown."""

    async def run(*changes):
        folder = command_line.folder
        for number, _ in enumerate(changes):
            (folder / f"step{number}.py").write_text(changes[number])
        (folder / "editor").write_text(
            "#!/bin/sh\n"
            'n=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) > count; cp "$1" shown$n\n'
            '[ -f "step$n.py" ] && exec python3 "step$n.py" "$1"; exit 0\n'
        )
        (folder / "editor").chmod(0o700)
        command_line.environment |= {"EDITOR": str(folder / "editor"), "TMPDIR": str(folder)}
        done = await command_line("edit", "backup")
        return done, [path.read_text() for path in sorted(folder.glob("shown*"))]

    return run


def replacing(old: str, new: str) -> str:
    """An editor that replaces a text."""
    read = "import sys, pathlib; path = pathlib.Path(sys.argv[1]); text = path.read_text()"
    return f"{read}; assert {old!r} in text; path.write_text(text.replace({old!r}, {new!r}))"


async def envs(server):
    """The variables as the store has them."""
    (row,) = (await server.get("/jobs")).json["items"]
    return (await server.store.job(row["id"])).spec.envs


async def test_what_is_edited_changes_and_the_rest_stays_secrets_too(server, command_line, job, edits):
    done, (shown,) = await edits(replacing("timeout: 20m", "timeout: 5m\npriority: 7"))
    assert done.code == 0, done.err
    assert yaml.safe_load(shown)["envs"] == {"LEVEL": "debug", "API_TOKEN": "********"}
    assert 'timeout: "20m" → "5m"' in done.lines
    assert "priority: null → 7" in done.lines
    definition = (await command_line("inspect", "backup", "--definition")).json
    assert (definition["timeout"], definition["priority"], definition["cron"]) == ("5m", 7, CRON)
    assert dict(await envs(server))["API_TOKEN"] == "hunter2"
    assert list(command_line.folder.glob("fastlane-*")) == []


async def test_faults_are_shown_in_the_editor_which_is_opened_again(server, command_line, job, edits):
    done, (first, second, third) = await edits(
        replacing("retries: 2", "retries: -1\nimgae: x"),
        replacing("retries: -1\nimgae: x", "retries: [1"),
        replacing("retries: [1", "retries: 1"),
    )
    assert done.code == 0, done.err
    assert "FAULT" not in first
    faults = [line for line in second.splitlines() if line.startswith("# FAULT: ")]
    assert [line.split(": ")[1] for line in faults] == ["retries", "imgae"]
    assert "# FAULT: is not YAML" in third
    assert "retries: 2 → 1" in done.lines


async def test_a_file_that_stays_wrong_changes_nothing_and_is_kept(server, command_line, job, edits):
    done, shown = await edits(replacing("retries: 2", "retries: -1"))
    assert (done.code, len(shown)) == (1, 2)
    assert "fastlane: retries: " in done.err
    (kept,) = command_line.folder.glob("fastlane-*.yaml")
    assert str(kept) in done.err
    assert "retries: -1" in kept.read_text()
    assert (await command_line("inspect", "backup", "--format", "{spec.retries}")).lines == ["2"]


@pytest.mark.parametrize("change", ["", "import sys; open(sys.argv[1], 'w').close()"])
async def test_a_file_that_is_left_alone_or_emptied_changes_nothing(server, job, edits, change):
    done, _ = await edits(*([change] if change else []))
    assert (done.code, done.text.endswith("nothing changes\n")) == (0, True), done


async def test_what_another_changes_meanwhile_is_kept(server, command_line, job, edits):
    script = f"import urllib.request as r; q = r.Request({job['jobUrl']!r}, b'{{\"priority\": 5}}', method='PATCH'); r.urlopen(q); "
    done, (_, second) = await edits(script + replacing("timeout: 20m", "timeout: 5m"))
    assert "# FAULT: someone else has changed the job meanwhile" in second
    assert (yaml.safe_load(second)["priority"], yaml.safe_load(second)["timeout"]) == (5, "5m")
    assert done.code == 0, done.err
    definition = (await command_line("inspect", "backup", "--definition")).json
    assert (definition["priority"], definition["timeout"]) == (5, "5m")


async def test_fields_are_set_removed_and_kept(server, command_line, job):
    done = await command_line("set", "backup", "cron=0 4 * * *", "timeout=", "labels.team=data", "retries=1", 'command=["sh", "-c", "x y"]')
    assert done.code == 0, done.err
    assert f'cron: "{CRON}" → "0 4 * * *"' in done.lines
    assert ", next run " in done.lines[-1]
    definition = (await command_line("inspect", "backup", "--definition")).json
    assert (definition["cron"], definition.get("timeout"), definition["labels"], definition["retries"]) == (
        "0 4 * * *",
        None,
        {"team": "data"},
        1,
    )
    assert dict(await envs(server)) == {"LEVEL": "debug", "API_TOKEN": "hunter2"}
    assert (await command_line("set", "backup", "retries=1")).text.endswith("nothing changes\n")
    assert (await command_line("set", "backup", "name=17")).code == 0


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (["retries=-1", "imgae=x"], 1, "imgae: "),
        (["retries=many"], 1, "retries: "),
        (["timeout"], 2, "write FIELD=VALUE"),
        (["command=["], 2, "command: is not JSON"),
        (["envs.LEVEL=info"], 2, "envs has secrets that are not shown"),
        (["image.x=1"], 2, "image is not an object"),
    ],
)
async def test_a_field_that_cannot_be_set_says_why(command_line, job, fields, code, words):
    done = await command_line("set", "backup", *fields)
    assert (done.code, words in done.err) == (code, True), done
    assert (await command_line("inspect", "backup", "--format", "{spec.retries}")).lines == ["2"]


async def test_a_stopped_schedule_is_started_again(server, command_line, job):
    await command_line("stop", "backup")
    refused = await command_line("resume", "backup")
    assert (refused.code, "`fastlane start` starts its schedule again" in refused.err) == (1, True), refused.err
    why = (await command_line("why", "backup")).text
    assert f"its schedule is stopped, and nothing of it starts by itself; start it again: fastlane start backup/{job['jobId']}\n" in why
    started = await command_line("start", "backup")
    assert "stopped" not in (await command_line("why", "backup")).text
    assert started.text.startswith(f"backup/{job['jobId']}: scheduled, next run "), started
    assert dict(await envs(server))["API_TOKEN"] == "hunter2"
    await server.run_to_end("once")
    await command_line("stop", "once")
    nothing = await command_line("start", "once")
    assert (nothing.code, "fastlane run-now" in nothing.err) == (1, True), nothing.err
