"""huey: a consumer with its scheduler, a retry, and a lock against overlap, as its documentation has them."""

import os
import subprocess

from huey import RedisHuey, crontab

huey = RedisHuey("peer", url=f"unix://{os.environ['STORE']}")


@huey.periodic_task(crontab(minute="*"), retries=1)
@huey.lock_task("job")
def job() -> None:
    """Runs the job."""
    subprocess.run([os.environ["JOB"]], check=True)
