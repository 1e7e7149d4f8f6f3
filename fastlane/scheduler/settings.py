"""What a worker takes of the settings."""

from dataclasses import replace

from fastlane.config.settings import Settings
from fastlane.directory.current_pools import CurrentPools
from fastlane.models.retention import Retention
from fastlane.scheduler.limits import Limits
from fastlane.scheduler.repair.pruner import RetentionRules
from fastlane.scheduler.worker import WorkerSettings


def worker_settings(settings: Settings) -> WorkerSettings:
    """The settings of a worker."""
    return WorkerSettings(
        pools=settings.pools,
        limits=Limits(
            timeout=settings.hard_timeout,
            pools=settings.pools,
            pending_deadline=settings.pending_deadline,
            pull_deadline=settings.pull_deadline,
            host_lost_after=settings.host_lost_after,
        ),
        lease=settings.lease,
        renew=settings.renew,
        log_cap=settings.max_log_bytes,
        unused_images_after=settings.unused_images_after,
        usage_every=settings.usage_every,
        retention=retention_rules(settings),
    )


def retention_rules(settings: Settings) -> RetentionRules:
    """What the settings say of old history."""
    rules = Retention(settings.keep_jobs, settings.keep_executions, settings.max_executions, settings.keep_logs)
    return RetentionRules(rules, settings.keep_deliveries, settings.keep_history, settings.keep_events, settings.max_total_log_bytes)


def in_force(made: WorkerSettings, pools: CurrentPools) -> WorkerSettings:
    """The settings of a worker that goes by these pools, whatever they come to be."""
    return replace(made, pools=pools, limits=replace(made.limits, pools=pools))
