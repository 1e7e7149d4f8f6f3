"""swarm-stack.yml and the files that it names, as far as they can be checked without a swarm."""

import re
from hashlib import sha256

import pytest

from tests.support.docs import ROOT

STACK = (ROOT / "swarm-stack.yml").read_text()
PAGE = (ROOT / "docs/install.md").read_text()


@pytest.mark.parametrize("file", ["engine-filter.cfg", "mongo-health.js"])
def test_a_config_s_name_changes_with_its_content(file):
    found = re.search(rf"name: fastlane-\S+-([0-9a-f]{{8}})\n    file: \./stack/{re.escape(file)}\n", STACK)
    assert found, f"swarm-stack.yml has no config of stack/{file}"
    assert found[1] == sha256((ROOT / "stack" / file).read_bytes()).hexdigest()[:8], f"give the config of stack/{file} its new name"


def test_the_page_creates_every_secret_that_the_stack_needs():
    needed = set(re.findall(r"^  (\w+): \{external: true\}$", STACK, re.MULTILINE))
    created = set(re.findall(r"docker secret create (\w+) -", PAGE))
    assert needed == created
    assert needed == set(re.findall(r"/run/secrets/(\w+)", STACK)) - {"fastlane_users"}


def test_every_label_that_the_stack_asks_for_is_set_by_the_page():
    asked = set(re.findall(r"node\.labels\.(\S+) == (\d)", STACK))
    assert asked == set(re.findall(r"--label-add (\S+)=(\d)", PAGE))


@pytest.mark.parametrize("name", ["fastlane.toml", "one-node.toml"])
def test_the_settings_name_filters_of_the_stack(name):
    hosts = re.findall(r'"(engine-\d):2375"', (ROOT / "stack" / name).read_text())
    assert hosts
    assert all(f"\n  {host}:" in STACK for host in hosts)
