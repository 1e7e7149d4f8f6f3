"""What a test changes in a fastlane process that ``tests.support.process`` runs. It travels as JSON in one environment variable."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

VARIABLE = "FASTLANE_TEST_OPTIONS"


@dataclass(frozen=True)
class ProcessOptions:
    """Each field that is None leaves fastlane as it is. All times are seconds, unless the field says otherwise."""

    reconcile: float | None = None
    """Between two rounds of the reconciler."""
    renew: float | None = None
    """Between two renewals of a lease: the setting does not allow less than a second."""
    gone_after: float | None = None
    """After which a service that the engine does not know counts as gone."""
    recheck: float | None = None
    """Between two looks at an execution that has sent no event."""
    breaker_reset: float | None = None
    record_within: float | None = None
    """For how long a worker tries to write down what an attempt of a delivery came to; so long after it nobody else sends that again."""
    builder_lost_after_ms: int | None = None
    """After which another worker rebuilds the queue."""
    labels_gone_after_ms: int | None = None
    """For which a service must be missing until its jobs stop."""
    seal_lag_ms: int | None = None
    """By which the seals of receipts stay behind."""
    archive_every: float | None = None
    """Between two rounds of the archiver."""
    mount: str | None = None
    """A folder that every container gets at ``/witness``, without its job asking for it."""
    journal: str | None = None
    """A file that gets every passage of a seam; see ``seams``."""
    trip: str = ""
    """Where the process ends or freezes; see ``seams.Trip``. Needs a journal."""

    def environment(self) -> Mapping[str, str]:
        """The variable that carries them."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> "ProcessOptions":
        """The options of this process."""
        return cls(**json.loads(os.environ.get(VARIABLE, "{}")))
