"""The outages of registries: which of them failed lately, so that no execution waits for one in order to learn what is known.

========= ================================================== ===============================================
state     a question                                         what changes it
========= ================================================== ===============================================
well      is asked, and waited for                           a failure: away, for ``FIRST_PAUSE``
away      fails at once, with the words of the last failure  the pause is over: on trial
on trial  one is asked, and hardly waited for                its answer: well; its failure: away, twice as long
========= ================================================== ===============================================
"""

from collections import OrderedDict
from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.errors import RegistryDown

FIRST_PAUSE, LONGEST_PAUSE = 1_000, 30_000
"""Bounds, in milliseconds, of the time for which a registry that failed is not asked. It doubles with each failure."""
MOST = 1_000
"""Registries whose outages are remembered."""


@dataclass(slots=True)
class _Outage:
    error: RegistryDown
    pause: int
    until: int
    on_trial: bool = False


class RegistryOutages:
    """The outages that one host's questions to registries have shown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._outages: OrderedDict[str, _Outage] = OrderedDict()

    def is_away(self, registry: str) -> bool:
        """Whether its last answer was a failure, or is overdue."""
        return registry in self._outages

    def check(self, registry: str) -> None:
        """Returns when the registry may be asked now. Raises RegistryDown while it is away; one caller may ask after each pause."""
        outage, now = self._outages.get(registry), self._clock.now()
        if outage is None:
            return
        if 0 < outage.until - now <= outage.pause:  # longer, once the clock was set back
            raise RegistryDown(str(outage.error), nameless=outage.error.nameless)
        outage.until, outage.on_trial = now + outage.pause, True

    def failed(self, registry: str, error: RegistryDown) -> None:
        """Records a failure of the registry, or that its answer is overdue."""
        before, now = self._outages.get(registry), self._clock.now()
        if before is not None and not before.on_trial:
            before.error = error  # it was asked before the first failure came, and says nothing new
            return
        pause = FIRST_PAUSE if before is None else min(before.pause * 2, LONGEST_PAUSE)
        self._outages[registry] = _Outage(error, pause, now + pause)
        while len(self._outages) > MOST:
            self._outages.popitem(last=False)

    def answered(self, registry: str) -> None:
        """Records that the registry answered, be it with a refusal."""
        self._outages.pop(registry, None)
