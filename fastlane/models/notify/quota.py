"""How many mails about failures of one job an address gets: one in a while, which says how many were held back since the last. Pure."""

from dataclasses import dataclass, replace
from hashlib import sha256

LISTED = 20
"""Held back executions that a row lists: the last ones."""


@dataclass(frozen=True, slots=True)
class MailQuota:
    """The mails about a job's failures to one address. Each change raises ``version``, which begins at 1.

    ``execution_id`` is the one whose failure was told last, and ``told_at`` when that mail was first tried (milliseconds). ``held``: how
    many failures no mail has told of since; ``held_ids``: the last of these executions.
    """

    id: str
    execution_id: str
    told_at: int
    held: int = 0
    held_ids: tuple[str, ...] = ()
    version: int = 1

    def admits(self, execution_id: str, now: int, interval: int) -> bool:
        """Whether a mail about this execution may go out. ``interval`` in milliseconds. A mail that is tried again may."""
        return execution_id == self.execution_id or now - self.told_at >= interval

    def telling(self, execution_id: str, now: int) -> "MailQuota":
        """Its next version: this execution's failure is told."""
        return replace(self, execution_id=execution_id, told_at=now, version=self.version + 1)

    def holding(self, execution_id: str) -> "MailQuota":
        """Its next version, with one failure more that is not told; the same when that is known."""
        if execution_id in self.held_ids:
            return self
        return replace(self, held=self.held + 1, held_ids=(*self.held_ids, execution_id)[-LISTED:], version=self.version + 1)

    def without(self, said: "MailQuota") -> "MailQuota":
        """Its next version, after a mail that said what was held back as of ``said``."""
        left = tuple(id for id in self.held_ids if id not in said.held_ids)
        return replace(self, held=max(0, self.held - said.held), held_ids=left, version=self.version + 1)


def quota_id(job_id: str, address: str) -> str:
    """The id of the quota of a job and an address (in small letters), which does not tell the address."""
    return sha256(f"{job_id}/{address}".encode()).hexdigest()[:32]
