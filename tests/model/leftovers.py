"""What a database of MongoDB must not hold when all is over, read past the store."""

from collections.abc import Collection
from typing import Any

from pymongo import MongoClient


def left_in(url: str, partly: Collection[str]) -> dict[str, int]:
    """How many rows belong to nothing, by words for them. ``partly``: jobs of which a part is deleted."""
    with MongoClient[dict[str, Any]](url, timeoutMS=60_000, retryWrites=False) as client:
        database = client.get_default_database()
        rows = {name: list(database[name].find()) for name in ("jobs", "ticks", "executions", "log_chunks", "tasks")}
    there = [row for row in rows["jobs"] if "gone_at" not in row]
    jobs, ticks = {row["_id"]: row["incarnation"] for row in there}, {row["_id"] for row in rows["ticks"]}
    executions, tasks = {row["_id"] for row in rows["executions"]}, {row["_id"] for row in rows["tasks"]}
    return {
        "ledger rows of no job": sum(jobs.get(row["job_id"]) != row["incarnation"] for row in rows["ticks"]),
        "executions of no job": sum(row["job_id"] not in jobs for row in rows["executions"]),
        "executions of no tick": sum(row["tick_id"] not in ticks and row["job_id"] not in partly for row in rows["executions"]),
        "logs of no execution": sum(row["execution_id"] not in executions for row in rows["log_chunks"]),
        "jobs of no task": sum(row["task_id"] not in tasks for row in there),
        "intents": sum(row["intent"] is not None or row.get("is_pending", False) for row in rows["jobs"]),
    }
