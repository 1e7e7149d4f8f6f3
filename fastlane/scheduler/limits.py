"""How long the steps of an execution may take."""

from dataclasses import dataclass

from fastlane.errors import RegistryDown
from fastlane.models.execution import Execution

UNKNOWN_REGISTRY_PATIENCE = 40.0
"""Seconds after which a registry whose name cannot be looked up counts as one that does not exist."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for running, for waiting for a node, for a registry or the pull of the image, and for a host that is away. ``gone_after``:
    how long an engine must say that a service is gone before that is believed. ``refused_after``: how long it may refuse what it is asked
    before the execution ends without it."""

    timeout: float
    pending_deadline: float
    pull_deadline: float
    host_lost_after: float
    gone_after: float = 60
    refused_after: float = 60


def registry_deadline(execution: Execution, error: RegistryDown, limits: Limits) -> int:
    """The moment (milliseconds) until which a registry is asked again."""
    patience = min(UNKNOWN_REGISTRY_PATIENCE, limits.pull_deadline) if error.nameless else limits.pull_deadline
    return (execution.placed_at or 0) + round(patience * 1000)
