"""The alert rules of examples/monitoring, evaluated by Prometheus's own promtool over figures as an outage makes them."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.docs import ROOT

RULES = ROOT / "examples/monitoring/alerts.yaml"
CONFIGURATIONS = ("examples/monitoring/prometheus.yml", "stack/prometheus.yml")
STEP = 15
"""Seconds between two reads of the figures, as both configurations have them."""
NAMES = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
SERVER, SECOND, WORKER = 'job="fastlane", instance="a"', 'job="fastlane", instance="b"', 'job="fastlane-worker", instance="w"'


def steps(minutes: float) -> int:
    return round(minutes * 60 / STEP)


def steady(value: float, minutes: float = 140) -> str:
    return f"{value}x{steps(minutes)}"


def then(before: float, after: float, minutes: float = 140) -> str:
    """The first value for five minutes, and the other one from then on."""
    return f"{before}x{steps(5) - 1} {after}x{steps(minutes)}"


def growing(by: float, minutes: float = 140, before: float = 0) -> str:
    """A counter that stands for five minutes, and then grows by that much at each step."""
    return f"{before}x{steps(5) - 1} {before}+{by}x{steps(minutes)}"


def gone() -> str:
    """Read for five minutes, and from then on no more."""
    return f"1x{steps(5) - 1} stale"


class Outage(NamedTuple):
    """Figures by series, in which something changes after five minutes; the rule that sees it; and after how many minutes more it does.
    ``well``: the same series when nothing is wrong."""

    alert: str
    after: float
    series: dict[str, str]
    well: dict[str, str]


def of_pool(name: str, **labels: str) -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in {"pool": "p", **labels}.items()) + "}"


def buckets(name: str, label: str, low: str, high: str, value: str) -> dict[str, str]:
    """A histogram of which all observations are above ``low`` and up to ``high``."""
    nothing = steady(0)
    return {f'{name}_bucket{{{label}, le="{low}"}}': nothing} | {f'{name}_bucket{{{label}, le="{le}"}}': value for le in (high, "+Inf")}


def ended(failed: str, done: str) -> dict[str, str]:
    return {
        of_pool("fastlane_executions_ended_total", status="failed", reason="exit"): failed,
        of_pool("fastlane_executions_ended_total", status="done", reason=""): done,
    }


def requests(refused: str, all: str) -> dict[str, str]:
    return {
        'fastlane_refused_requests_total{kind="write"}': refused,
        'fastlane_http_requests_total{method="POST", status="503"}': refused,
        'fastlane_http_requests_total{method="GET", status="200"}': all,
    }


def full(ready: float, running: str) -> dict[str, str]:
    return {
        of_pool("fastlane_pool_executions", state="ready"): steady(ready),
        of_pool("fastlane_pool_executions", state="running"): running,
        of_pool("fastlane_pool_slots"): steady(4),
    }


def left(open: str, there: str) -> dict[str, str]:
    return {
        of_pool("fastlane_host_circuit", host="h", state="open"): open,
        of_pool("fastlane_host_executions", host="h"): there,
    }


def attempts(failed: str, delivered: str) -> dict[str, str]:
    return {
        'fastlane_delivery_attempts_total{kind="webhook", outcome="failed"}': failed,
        'fastlane_delivery_attempts_total{kind="webhook", outcome="delivered"}': delivered,
    }


def up(server: str, worker: str = steady(1)) -> dict[str, str]:
    return {f"up{{{SERVER}}}": server, f"up{{{WORKER}}}": worker}


def waiting(oldest: str, paused: float = 0) -> dict[str, str]:
    return {of_pool("fastlane_pool_oldest_waiting_seconds"): oldest, of_pool("fastlane_pool_paused"): steady(paused)}


def one(name: str, ill: str, well: str) -> tuple[dict[str, str], dict[str, str]]:
    return {name: ill}, {name: well}


ABOVE_TWO = {f"up{{{SERVER}}}": steady(1), f"up{{{SECOND}}}": then(0, 1), f"fastlane_store_up{{{SERVER}}}": steady(1)}
OVER_LIMIT = 'fastlane_log_events_total{event="retention.logs_over_limit", level="warning"}'
HOST_LOST = of_pool("fastlane_executions_ended_total", status="failed", reason="host-lost")
COMPARED = f"0+15x{steps(5) - 1} {then(300, 300).partition(' ')[2]}"
"""A moment that keeps up with the clock for five minutes, and then stands."""

OUTAGES = [
    Outage("FastlaneNoServer", 0.75, up(then(1, 0)), up(steady(1))),
    Outage("FastlaneNoServer", 0.75, up(gone()), up(steady(1))),
    Outage("FastlaneNoWorkerAnswers", 0.75, up(steady(1), then(1, 0)), up(steady(1))),
    Outage("FastlaneNoWorkerAnswers", 0.75, up(steady(1), gone()), up(steady(1))),
    Outage("FastlaneProcessDown", 2.5, up(then(1, 0)), up(steady(1))),
    Outage("FastlaneNotStarted", 0.25, ABOVE_TWO, {**ABOVE_TWO, f"fastlane_store_up{{{SECOND}}}": steady(1)}),
    Outage("FastlaneStoreMigrating", 0.25, *one("fastlane_store_migrating", then(0, 1), steady(0))),
    Outage("FastlaneRefuses", 1, requests(growing(20), growing(1, before=9)), requests(growing(1), growing(100))),
    Outage("FastlaneRestored", 0.5, *one('fastlane_dispatch_paused{reason="restored"}', then(0, 1), steady(0))),
    Outage("FastlaneDispatchPaused", 31, *one('fastlane_dispatch_paused{reason="requested"}', then(0, 1), then(0, 1, 10) + " 0x800")),
    Outage("FastlaneWithoutWorkers", 1, *one("fastlane_workers", then(2, 0), then(2, 1))),
    Outage("FastlaneStoreDown", 0.25, *one("fastlane_store_up", then(1, 0), steady(1))),
    Outage("FastlaneWorkerStoreFails", 1, *one('fastlane_worker_store_failures_total{part="claimed"}', growing(3), then(0, 1))),
    Outage("FastlaneQueueDown", 0.25, *one("fastlane_queue_up", then(1, 0), steady(1))),
    Outage(
        "FastlaneLate",
        22,
        buckets("fastlane_lateness_seconds", 'pool="p"', "60", "300", growing(1)),
        buckets("fastlane_lateness_seconds", 'pool="p"', "0", "0.5", growing(1)),
    ),
    Outage("FastlanePoolFull", 31, full(3, then(2, 4)), full(0, steady(4))),
    Outage("FastlaneWaiting", 6, waiting(then(5, 3700)), waiting(then(5, 3700), 1)),
    Outage("FastlaneHostUnusable", 11, *one(of_pool("fastlane_host_usable", host="h"), then(1, 0), steady(1))),
    Outage("FastlaneHostLeftWithWork", 1, left(then(0, 1), steady(3)), left(then(0, 1), steady(0))),
    Outage("FastlaneLabelsNotRead", 7, *one('fastlane_labels_compared_timestamp_seconds{swarm="s"}', COMPARED, f"0+15x{steps(140)}")),
    Outage("FastlaneFailures", 62, ended(growing(3), growing(1)), ended(growing(1), growing(3))),
    Outage("FastlaneHostsLost", 0.5, {HOST_LOST: then(0, 3)}, {HOST_LOST: steady(3)}),
    Outage("FastlaneJobsLate", 0.5, *one("fastlane_jobs_late", then(0, 2), steady(0))),
    Outage("FastlaneDeliveriesFail", 92, attempts(growing(3), growing(1)), attempts(growing(1), growing(3))),
    Outage("FastlaneDeliveriesLate", 6, *one("fastlane_delivery_overdue_seconds", then(0, 400), then(0, 200))),
    Outage("FastlaneReceiverPaused", 0.5, *one('fastlane_receivers_failing{paused="true"}', then(0, 1), steady(0))),
    Outage("FastlaneLogsTakeTooMuch", 32, *one(OVER_LIMIT, growing(1), steady(0))),
    Outage("FastlaneRetentionLate", 62, *one("fastlane_retention_lag_seconds", then(0, 90_000), then(0, 3_600))),
    Outage("FastlaneArchiveLate", 62, *one("fastlane_archive_lag_seconds", then(0, 30_000), then(0, 3_600))),
    Outage("FastlaneQueueRebuilt", 0.5, *one("fastlane_queue_rebuilds_total", then(1, 5), steady(9))),
    Outage(
        "FastlaneSlowLoop",
        17,
        buckets("fastlane_event_loop_lag_seconds", SERVER, "0.5", "5", growing(1)),
        buckets("fastlane_event_loop_lag_seconds", SERVER, "0", "0.01", growing(1)),
    ),
]


def test_every_rule_has_an_outage_that_it_sees() -> None:
    assert {outage.alert for outage in OUTAGES} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def case(outage: Outage, series: dict[str, str], fires: dict[float, bool]) -> dict[str, Any]:
    """A test of promtool: whether the rule fires at these minutes."""
    firing = f'count(ALERTS{{alertname="{outage.alert}", alertstate="firing"}}) > bool 0 or vector(0)'
    return {
        "name": f"{outage.alert}, {series}",
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{round(minutes * 60)}s", "exp_samples": [{"labels": "{}", "value": int(value)}]}
            for minutes, value in fires.items()
        ],
    }


def test_each_rule_fires_in_time_and_only_in_its_outage(tmp_path: Path) -> None:
    """Before anything is wrong, in time after it began, and while all is well."""
    cases = []
    for outage in OUTAGES:
        cases.append(case(outage, outage.series, {4.75: False, 5 + outage.after: True}))
        cases.append(case(outage, outage.well, {5 + minutes: False for minutes in (1, outage.after, 1.5 * outage.after)}))
    path = tmp_path / "cases.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": f"{STEP}s", "tests": cases}))
    promtool("test", "rules", path)


@pytest.mark.parametrize("file", CONFIGURATIONS)
def test_a_configuration_is_valid_and_evaluates_the_rules_as_often_as_it_reads(file: str, tmp_path: Path) -> None:
    text = (ROOT / file).read_text().replace("/run/secrets/fastlane_metrics_token", str(tmp_path / "token"))
    (tmp_path / "token").write_text("token")
    (tmp_path / "alerts.yaml").write_text(RULES.read_text())
    (tmp_path / "prometheus.yml").write_text(text)
    promtool("check", "config", "--lint=all", "--lint-fatal", tmp_path / "prometheus.yml")
    found = yaml.safe_load(text)
    assert found["global"] == {"scrape_interval": f"{STEP}s", "evaluation_interval": f"{STEP}s"}
    assert {scrape["job_name"] for scrape in found["scrape_configs"]} == {"fastlane", "fastlane-worker"}, "the rules name these jobs"
