"""How far a store has come, by which it is noticed that an older copy of it, or another store, was put in its place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """A store's id, which it keeps forever, and the number of its commits, which only grows."""

    store: str
    commits: int

    def continues(self, seen: "StoreVersion") -> bool:
        """Whether everything that was in the store when it was ``seen`` is in this one."""
        return self.store == seen.store and self.commits >= seen.commits

    def went_back(self, seen: "StoreVersion | None", *, had_queue: bool) -> bool:
        """Whether a store that had a queue is behind what was ``seen`` of it, so that what it has to do may have been done. (A copy from
        before stores had an id looks like another store. One that never had a queue is new.)"""
        return seen is not None and not self.continues(seen) and (self.store == seen.store or had_queue)
