"""``?pretty=1``: JSON for people."""

import json

import pytest


@pytest.mark.parametrize("path", ["/tasks/task", "/tasks/task/jobs", "/tasks", "/status", "/openapi.json", "/tasks/none", "/tasks?page=x"])
async def test_json_is_indented_on_request(server, path):
    await server.enqueue()
    plain = await server.get(path)
    more = "&" if "?" in path else "?"
    pretty = await server.get(f"{path}{more}pretty=1")
    assert pretty.status == plain.status
    assert plain.body.count(b"\n") == 1
    assert pretty.body.decode() == json.dumps(pretty.json, indent=2, ensure_ascii=False) + "\n"
    assert pretty.json.keys() == plain.json.keys()


async def test_a_post_takes_it_too_and_the_links_of_a_list_keep_it(server):
    for _ in range(2):
        assert (await server.post("/tasks/task?pretty=true", {"image": "ubuntu"})).body.startswith(b"{\n  ")
    url = "/tasks/task/jobs?perPage=1&pretty=1"
    first = (await server.get(url)).json
    assert (await server.get(first["nextUrl"])).body.startswith(b"{\n  ")
    assert (await server.get(first["nextUrl"].replace("pretty=1&", ""))).json["page"] == 2
    assert (await server.get("/tasks/task?pretty=maybe")).json["errors"][0]["field"] == "pretty"


async def test_what_is_no_json_does_not_take_it(server):
    reply = await server.run_to_end("task", (1, b"x"))
    assert (await server.get(reply["jobUrl"] + "stdout?pretty=1")).status == 400
