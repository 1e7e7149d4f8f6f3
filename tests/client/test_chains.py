"""Chains on the command line: a file whose jobs follow each other, waiting for all that follows, and removing what others follow."""

from fastlane.cli.client.file_chains import ordered
from fastlane.cli.client.job_file import read_jobs

FILE = """\
set: data
defaults: {image: ubuntu, task: etl, timezone: Europe/Berlin}
jobs:
  report: {after: [load, other/prices], afterOn: finishes}
  load: {after: extract, name: the load}
  extract: {cron: "@hourly"}
  prices: {manual: true, task: other}
"""


async def chain(server, name: str) -> list[str]:
    """The names of the jobs that a job follows."""
    rows = {row["name"]: row for row in (await server.get("/jobs?perPage=100")).json["items"]}
    found = (await server.get(f"{rows[name]['url'].removeprefix(server.base)}chain")).json
    return [one["name"] for one in found["follows"]]


async def test_a_files_jobs_follow_each_other_in_any_order_and_applying_it_again_changes_nothing(server, command_line):
    line = command_line
    (line.folder / "jobs.yaml").write_text(FILE)
    assert (await line("diff", "-f", "jobs.yaml")).lines[-1] == "4 to create, 0 to change, 0 to remove, 0 unchanged"
    first = await line("apply", "-f", "jobs.yaml")
    assert (first.code, first.lines[-1]) == (0, "4 created, 0 changed, 0 removed, 0 unchanged"), first.err
    assert await chain(server, "report") == ["the load", "prices"]
    assert await chain(server, "the load") == ["extract"]
    again = await line("apply", "-f", "jobs.yaml")
    assert again.lines == ["0 created, 0 changed, 0 removed, 4 unchanged"], again.err
    (line.folder / "jobs.yaml").write_text(FILE.replace("[load, other/prices]", "load") + "  more: {after: report}\n")
    changed = await line("apply", "-f", "jobs.yaml")
    assert changed.lines[-1] == "1 created, 1 changed, 0 removed, 3 unchanged", changed.err
    assert await chain(server, "report") == ["the load"]
    (line.folder / "jobs.yaml").write_text(FILE.replace('{cron: "@hourly"}', "{after: report}"))
    circle = await line("apply", "-f", "jobs.yaml")
    assert circle.code == 2
    assert "jobs.load.after: closes a circle" in circle.err


def test_upstream_jobs_come_first_and_names_outside_the_file_stay():
    jobs, faults = ordered(read_jobs(FILE.replace("other/prices", "far/away"), {}).jobs)
    assert faults == []
    assert [job.key for job in jobs].index("extract") < [job.key for job in jobs].index("load") < [job.key for job in jobs].index("report")
    assert next(job for job in jobs if job.key == "report").fields["after"][1] == "far/away"


async def test_run_now_waits_for_all_that_follows_and_fails_when_one_of_these_does(crewed, crewed_line):
    line = crewed_line
    made = await line("schedule", "--task", "etl", "--manual", "--name", "extract", "-q", "ubuntu")
    assert made.code == 0, made.err
    for name, after, command in (("load", "extract", ("exit", "7,0")), ("report", "load", ())):
        made = await line("schedule", "--task", "etl", "--after", after, "--name", name, "--retries", "1", "-q", "ubuntu", *command)
        assert made.code == 0, made.err
    done = await line("run-now", "--wait-all", "etl/extract")
    assert done.code == 0, done.err
    said = [text for text in done.err.splitlines() if "ended as" in text]
    assert ["etl/load: execution" in said[1], "etl/report: execution" in said[2], len(said)] == [True, True, 3]
    assert all(text.endswith("ended as done") for text in said)
    made = await line(
        "schedule", "--task", "etl", "--after", "report", "--after-on", "finishes", "--name", "last", "-q", "ubuntu", "exit", "3"
    )
    assert made.code == 0, made.err
    failed = await line("run-now", "--wait-all", "etl/extract")
    assert failed.code == 1
    assert "etl/last: execution" in failed.err
    removed = await line("rm", "etl/report")
    assert removed.code == 0, removed.err
    assert "followed" in removed.err


async def test_run_now_refuses_to_wait_for_a_job_that_runs_everywhere_before_it_runs(crewed, crewed_line):
    made = await crewed_line("schedule", "--task", "etl", "--everywhere", "swarms", "--manual", "--name", "all", "-q", "ubuntu")
    assert made.code == 0, made.err
    refused = await crewed_line("run-now", "--wait-all", "etl/all")
    assert (refused.code, "runs everywhere" in refused.err) == (2, True)
    (job,) = (await crewed.get("/tasks/etl")).json["jobs"]
    assert job["lastExecution"] is None


async def test_run_waits_for_what_follows_its_job(crewed_line):
    done = await crewed_line("run", "--wait-all", "ubuntu", "exit", "3")
    assert done.code == 3
    assert "ended as failed" in done.err


COMPOSE = """\
name: shop
jobs:
  load: {image: ubuntu, x-fastlane: {after: extract, afterOn: finishes, overlap: queue}}
  mail: {image: ubuntu, triggers: {manual: true}, x-fastlane: {after: [load, extract]}}
  extract: {image: ubuntu, triggers: {schedule: ["0 3 * * *"]}}
"""


async def test_jobs_of_a_compose_file_follow_each_other_and_are_exported(server, command_line):
    line = command_line
    (line.folder / "compose.yaml").write_text(COMPOSE)
    first = await line("apply", "-f", "compose.yaml")
    assert (first.code, first.lines[-1]) == (0, "3 created, 0 changed, 0 removed, 0 unchanged"), first.text + first.err
    assert await chain(server, "mail") == ["load", "extract"]
    for name in ("load", "mail"):
        exported = await line("export", "--compose", f"shop/{name}", "-o", f"{name}.yaml")
        assert exported.code == 0, exported.err
        again = await line("apply", "-f", f"{name}.yaml")
        assert again.lines[-1] == "0 created, 0 changed, 0 removed, 1 unchanged", again.text + again.err
