"""Celery: a beat and workers, acknowledging late and giving back the tasks of a worker that is lost, as its documentation advises for what
may run twice."""

import os
import subprocess

from celery import Celery
from celery.schedules import crontab

app = Celery("peer", broker=f"redis+socket://{os.environ['STORE']}")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": int(os.environ["LONGEST"])},
    beat_schedule={"job": {"task": "job", "schedule": crontab()}},
)


@app.task(name="job")
def job() -> None:
    """Runs the job."""
    subprocess.run([os.environ["JOB"]], check=True)
