"""RQ: its cron scheduler (``rq cron``) and workers, with one retry."""

import os
import subprocess

from rq import cron


def job() -> None:
    """Runs the job."""
    subprocess.run([os.environ["JOB"]], check=True)


cron.register(job, queue_name="default", cron="* * * * *", job_timeout=int(os.environ["LONGEST"]))
