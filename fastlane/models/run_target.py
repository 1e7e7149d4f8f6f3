"""The values of a job that runs everywhere: what ``everywhere`` may be, and one of the places at which a tick of it runs. ``everywhere``
has the rules."""

from dataclasses import dataclass
from enum import StrEnum

MAX_TARGETS = 256
"""Targets of a tick at most."""


class Everywhere(StrEnum):
    """Where a tick runs at once: on each usable swarm of its pool, or on each usable node of these."""

    SWARMS = "swarms"
    NODES = "nodes"


@dataclass(frozen=True, slots=True)
class RunTarget:
    """A swarm, by its id (or the name of its host, while that is not known), or one of its nodes, by the node's id. ``name``: for people.
    ``place``: its place among the targets of its tick, from 0; ``first``: the sequence of the target with place 0."""

    swarm: str
    name: str
    node: str | None = None
    place: int = 0
    first: int = 0

    @property
    def last(self) -> int:
        """The sequence that the execution gets which stands for the tick, once all of the tick's executions have ended."""
        return self.first + MAX_TARGETS


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is still to be done for a tick whose targets are fixed: the executions of these ``others``, and the ``words`` of its row."""

    others: tuple[RunTarget, ...]
    words: str


def further_numbers(everywhere: Everywhere | None) -> int:
    """How many numbers a tick takes after its first: each target has one of its own, and so has the tick's end."""
    return 0 if everywhere is None else MAX_TARGETS
