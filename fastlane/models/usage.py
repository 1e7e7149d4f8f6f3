"""What an execution's container has used of its node."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """The most memory that was seen (bytes, without what the kernel can drop at once), processor time (milliseconds), and the bytes read
    from and written to block devices; None where the engine does not tell."""

    memory_peak: int
    cpu_ms: int
    read_bytes: int | None = None
    written_bytes: int | None = None

    def then(self, later: "Usage") -> "Usage":
        """What was used until a later sample: its memory is what was used at that time, the rest are sums since the start."""
        return Usage(
            max(self.memory_peak, later.memory_peak),
            max(self.cpu_ms, later.cpu_ms),
            _more(self.read_bytes, later.read_bytes),
            _more(self.written_bytes, later.written_bytes),
        )


def _more(before: int | None, later: int | None) -> int | None:
    return before if later is None else max(later, before or 0)
