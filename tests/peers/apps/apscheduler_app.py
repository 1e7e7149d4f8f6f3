"""APScheduler: its jobs in SQLite, missed runs joined into one, and no limit to how late that may be."""

import logging
import os
import subprocess

from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.cron import CronTrigger


def job() -> None:
    """Runs the job."""
    subprocess.run([os.environ["JOB"]], check=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    scheduler = BlockingScheduler(timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1})
    scheduler.add_jobstore("sqlalchemy", url=f"sqlite:///{os.environ['STORE']}")

    def begin(_event: object) -> None:
        if scheduler.get_job("job") is None:  # to add it again would forget when it was due
            scheduler.add_job("apscheduler_app:job", CronTrigger(minute="*", timezone="UTC"), id="job")

    scheduler.add_listener(begin, EVENT_SCHEDULER_STARTED)
    scheduler.start()
