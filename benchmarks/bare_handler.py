"""The baseline for an enqueue: a Tornado handler that parses the same JSON, answers JSON of the same shape, and does nothing else."""

import asyncio
import sys

import click
import orjson
import uvloop
from tornado.web import Application, RequestHandler

ID = "00000000-0000-4000-8000-000000000000"


class BareHandler(RequestHandler):
    """``POST /tasks/T``."""

    async def post(self, task_id: str) -> None:
        """Answers what an enqueue answers."""
        orjson.loads(self.request.body)
        url = f"http://{self.request.host}/tasks/{task_id}/"
        reply = {
            "taskId": task_id,
            "jobId": ID,
            "executionId": ID,
            "queueJobId": ID,
            "taskUrl": url,
            "jobUrl": f"{url}jobs/{ID}/",
            "executionUrl": f"{url}jobs/{ID}/executions/{ID}/",
        }
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps(reply))


async def serve(port: int) -> None:
    """Serves forever."""
    Application([(r"/tasks/([^/]+)/?", BareHandler)]).listen(port, "127.0.0.1")
    click.echo("ready")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
