"""``retention`` of a job, in a form that can be sent again."""

from fastlane.models.retention import NO_RETENTION, Retention, show_age
from fastlane.web.api.serializer import Serializer, integer, string


def own_retention(retention: Retention) -> Retention | None:
    """None when the job has no rules of its own."""
    return None if retention == NO_RETENTION else retention


def _shown(age: int | None) -> str | None:
    return None if age is None else show_age(age)


RETENTION = Serializer[Retention](
    "RetentionRules",
    "How long a job's history stays, where that is less than its pool or the server keeps it; null: as they do.",
    jobs=string(lambda rules: _shown(rules.jobs), "Once it will not run again.", null=True, examples=["7d"]),
    executions=string(lambda rules: _shown(rules.executions), "An execution after its end.", null=True),
    maxExecutions=integer(lambda rules: rules.max_executions, "How many of the newest executions stay.", null=True, least=1),
    logs=string(lambda rules: _shown(rules.logs), "A log after the end of its execution.", null=True),
)
