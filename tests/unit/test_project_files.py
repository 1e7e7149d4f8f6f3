"""The files that a host of the repository reads: they are valid, run what CI runs, and keep no secret."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.docs import ROOT

pytestmark = pytest.mark.texts

FOLDER = ROOT / ".github"
FILES = sorted(FOLDER.rglob("*.yml"))


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8"))


def test_the_workflow_runs_what_ci_runs_with_a_history_and_may_only_read():
    workflow = read(FOLDER / "workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    (checkout,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}


def test_no_file_of_the_host_names_a_secret_or_runs_text_of_others():
    for path in FILES:
        text = path.read_text("utf-8")
        assert not re.search(r"secrets\.|pull_request_target|github\.event\.|issue_comment", text), path.name


def test_dependency_updates_look_into_folders_that_have_such_files():
    kinds = {"pip": "*.txt", "npm": "package-lock.json", "docker": "Dockerfile", "github-actions": ".github/workflows/*.yml"}
    for update in read(FOLDER / "dependabot.yml")["updates"]:
        assert list((ROOT / update["directory"].strip("/")).glob(kinds[update["package-ecosystem"]])), update


@pytest.mark.parametrize("path", sorted(FOLDER.glob("ISSUE_TEMPLATE/[!c]*.yml")), ids=lambda path: path.stem)
def test_a_form_of_an_issue_has_what_the_host_asks_for(path):
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown"}
    assert all(field["attributes"]["label"] for field in fields)
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
