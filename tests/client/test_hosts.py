"""``fastlane hosts``, on a server where hosts may be registered."""

import shlex
from collections.abc import AsyncIterator

import pytest
from jsonschema import Draft202012Validator

from fastlane.cli.client.commands.hosts import hosts
from fastlane.models.pool import Pool
from fastlane.web.openapi import ApiDocument
from fastlane.web.routes import ROUTES
from tests.client.test_help import commands, examples_of
from tests.support.command_line import CommandLine
from tests.support.credentials import token
from tests.support.fastlane import Fastlane
from tests.support.web_settings import web_settings

ORDER = ("add", "list", "drain", "undrain", "rm")


@pytest.fixture
async def admin(shared_redis, tmp_path, command_at) -> AsyncIterator[CommandLine]:
    """The command of an administrator."""
    pools, users = (Pool("default", "", (), insecure=True, register=("10.0.0.*:*",)),), (token("ops", "fl_secret", "admin"),)
    async with Fastlane(tmp_path / "admin", shared_redis.url, pools=pools, tokens=users) as server:
        line = command_at(server.base)
        line.environment["FASTLANE_TOKEN"] = "fl_secret"
        yield line


async def test_a_host_is_registered_drained_and_removed(admin):
    added = await admin("hosts", "add", "10.0.0.7:2375", "--pool", "default", "--weight", "2", "--max-running", "5")
    assert added.text.startswith("10.0.0.7:2375: registered in default, id "), added.err
    (row,) = (await admin("hosts", "list", "--json")).json
    schemas = {"components": ApiDocument(ROUTES, web_settings()).content["components"]}
    Draft202012Validator({"$ref": "#/components/schemas/KnownHost", **schemas}).validate(row)
    assert (await admin("hosts", "drain", "10.0.0.7:2375")).code == 0
    table = (await admin("hosts", "list")).lines
    assert table[0].split()[:4] == ["HOST", "STATE", "POOLS", "RUNNING"]
    assert table[1].split()[:5] == ["10.0.0.7:2375", "drained", "default", "0/5", "2"]
    assert (await admin("hosts", "undrain", row["id"])).code == 0
    near = "; the nearest is '10.0.0.7:2375' (the hosts are: 10.0.0.7:2375)"
    for command in ("drain", "undrain", "rm"):
        unknown = await admin("hosts", command, "10.0.0.7:2357")
        assert (unknown.code, near in unknown.err) == (1, True), unknown.err
    unknown = await admin("hosts", "add", "10.0.0.8:2375", "--pool", "defualt")
    assert "pool: is not the name of a pool; the nearest is 'default' (the pools are: default)" in unknown.err
    refused = await admin("hosts", "add", "h:2375", "--pool", "default")
    assert (refused.code, "address: " in refused.err) == (1, True)
    assert (await admin("hosts", "rm", "--force", "10.0.0.7:2375")).text == "10.0.0.7:2375: removed\n"
    assert (await admin("hosts", "list", "-q")).lines == []
    unknown = await admin("hosts", "drian", "x")
    assert (unknown.code, "'drain'" in unknown.err) == (2, True)


async def test_each_example_works_as_typed(admin):
    """In the order in which one needs them. A host is drained before it is removed."""
    found = {words[-1]: examples_of(command) for words, command in commands(hosts, ("hosts",))}
    for name in ORDER:
        if name == "rm":
            await admin("hosts", "drain", "10.0.0.7:2375")
        for line in found[name]:
            done = await admin(*shlex.split(line)[1:])
            assert done.code == 0, (line, done)
