"""Airflow's DAG: one task that runs the command in a service of the engine."""

import os

from airflow.providers.docker.operators.docker_swarm import DockerSwarmOperator
from airflow.sdk import DAG

with DAG("bench", schedule=None, catchup=False, is_paused_upon_creation=False, max_active_runs=100, max_active_tasks=100):
    DockerSwarmOperator(
        task_id="job",
        image=os.environ["BENCH_IMAGE"],
        command="true",
        docker_url=os.environ["BENCH_ENGINE"],
        api_version="1.41",
        auto_remove="success",
        enable_logging=False,
        mount_tmp_dir=False,
    )
