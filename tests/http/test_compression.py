"""Answers that are compressed, and long ones that are rendered beside the event loop."""

import asyncio
import gzip
import json
import threading

from fastlane.web import handler


async def test_json_is_gzipped_when_asked_and_logs_are_not(server):
    for _ in range(10):
        reply = await server.run_to_end("task", (1, b"x" * 10_000))
    asked = {"Accept-Encoding": "gzip, br"}
    answer = await server.get("/tasks/task", headers=asked)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["jobsCount"] == 10
    assert "Content-Encoding" not in (await server.get("/tasks/task", headers={"Accept-Encoding": "gzip;q=0"})).headers
    assert "Content-Encoding" not in (await server.get(reply["jobUrl"] + "stdout", headers=asked)).headers
    assert "Content-Encoding" not in (await server.get("/livez", headers=asked)).headers


async def test_a_long_list_is_rendered_and_compressed_beside_the_event_loop(server, monkeypatch):
    """So that no other request waits for it. A short answer is not worth a thread."""
    threads: dict[str, set[bool]] = {"encode_json": set(), "gzipped": set()}
    for name, seen in threads.items():
        real = getattr(handler, name)

        def noting(value, real=real, seen=seen):
            seen.add(threading.current_thread() is threading.main_thread())
            return real(value)

        monkeypatch.setattr(handler, name, noting)
    asked = {"Accept-Encoding": "gzip"}
    await asyncio.gather(*(server.enqueue(command=["echo", "x" * 2_000]) for _ in range(60)))
    assert threads == {"encode_json": {True}, "gzipped": set()}
    for seen in threads.values():
        seen.clear()
    answer = await server.get("/tasks/task", headers=asked)
    assert len(json.loads(gzip.decompress(answer.body))["jobs"]) == 60
    assert threads == {"encode_json": {False}, "gzipped": {False}}
    answer = await server.get("/tasks/task?perPage=10", headers=asked)
    assert len(json.loads(gzip.decompress(answer.body))["jobs"]) == 10
    assert threads == {"encode_json": {True, False}, "gzipped": {True, False}}
