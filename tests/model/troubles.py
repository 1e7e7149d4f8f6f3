"""What may befall a call: the tables of calls and of troubles, and how one of each is drawn."""

import random
from typing import Any

from fastlane.models.transitions import RULES
from tests.model.wire import MEDDLING

POINTS = (
    *(
        f"store.{name}"
        for name in (
            "create",
            "advance",
            "insert",
            "discard",
            "stop_job",
            "delete_job",
            "delete_task",
            "open_jobs",
            "close_tick",
            "idempotency_record",
            "job",
            "latest",
            "waiting",
            "under_way_of",
            "followers",
            "pause_pool",
            "paused_pools",
            "change_generation",
            "execution",
            "append",
            "log_head",
            *RULES,
        )
    ),
    *(
        f"queue.{name}"
        for name in ("put", "pause", "claim", "confirm", "renew", "release", "requeue", "cancel", "finish", "restore", "set_generation")
    ),
    *(f"engine.{name}" for name in ("resolve", "park", "activate", "inspect", "stop", "remove", "logs", "piece")),
)
"""The calls that may fail alone."""

TENDER = (
    "store.claim",
    "store.cancel",
    "store.take-over",
    "store.take-over",
    "store.bind",
    "store.end",
    "store.settle",
    "store.release",
    "store.under_way_of",
    "store.create",
    "store.advance",
    "store.advance",
    "store.stop_job",
    "store.delete_job",
    "store.pause_pool",
    "queue.put",
    "queue.cancel",
    "queue.pause",
    "queue.pause",
    "queue.confirm",
    "queue.finish",
    "engine.activate",
)
"""Those among them between which most can happen; half of all troubles come to them."""

KINDS = ("fail", "lose", "stall", "stall", "stall", "die", "die-after", "stop", "stop-after", "flush")
MEDDLED = (*MEDDLING, *(f"{what}-after" for what in MEDDLING), "pause_pool")
"""What a client does just before or after a call, while its caller stands still: pauses of pools a little more often."""


def a_trouble(draw: random.Random) -> tuple[Any, ...]:
    """A call, and what befalls it."""
    kinds = KINDS if draw.random() < 0.65 else MEDDLED
    return draw.choice(POINTS if draw.random() < 0.5 else TENDER), draw.choice(kinds)
