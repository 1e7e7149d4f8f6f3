"""The pools in force now. Everything that asks for the pools reads them here, so that a change takes effect everywhere at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from fastlane.models.placement.directory import pools_in_force
from fastlane.models.placement.host_record import HostRecord
from fastlane.models.placement.pool import Pool
from fastlane.models.placement.pools_revision import pools_digest


class CurrentPools(Sequence[Pool]):
    """A sequence whose content is replaced as a whole. ``settings``: the pools as the settings have them; ``records``: the hosts that the
    store keeps."""

    def __init__(self, settings: Sequence[Pool], records: Sequence[HostRecord] = ()) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._settings, self._records = tuple(settings), tuple(records)
        self._pools = pools_in_force(self._settings, self._records)
        self._digest = pools_digest(self._settings)

    @classmethod
    def of(cls, pools: Sequence[Pool]) -> "CurrentPools":
        """These pools themselves when they are the ones in force; else pools that nothing changes."""
        return pools if isinstance(pools, cls) else cls(pools)

    @property
    def settings(self) -> tuple[Pool, ...]:
        """The pools as the settings have them."""
        return self._settings

    @property
    def digest(self) -> str:
        """That of the pools as the settings have them."""
        return self._digest

    @property
    def records(self) -> tuple[HostRecord, ...]:
        """The hosts that the store keeps, as last read."""
        return self._records

    def replace(self, *, settings: Sequence[Pool] | None = None, records: Sequence[HostRecord] | None = None) -> None:
        """Puts what is given in place of what was in force."""
        self._settings = self._settings if settings is None else tuple(settings)
        self._records = self._records if records is None else tuple(records)
        self._pools = pools_in_force(self._settings, self._records)
        self._digest = pools_digest(self._settings)
        for listener in self._listeners:
            listener()

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Calls ``on_change`` after each replacement."""
        self._listeners.append(on_change)

    @overload
    def __getitem__(self, index: int) -> Pool: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pool]: ...
    def __getitem__(self, index: int | slice) -> Pool | Sequence[Pool]:
        return self._pools[index]

    def __len__(self) -> int:
        return len(self._pools)

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools)
