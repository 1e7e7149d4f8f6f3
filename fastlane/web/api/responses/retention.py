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
    "A job's own rules of retention, which count where they are stricter than those of its pool or the server.",
    jobs=string(
        lambda rules: _shown(rules.jobs),
        "How long the job stays once it will not run again; null: no rule.",
        null=True,
        examples=["7d"],
    ),
    executions=string(lambda rules: _shown(rules.executions), "How long an execution stays after its end; null: no rule.", null=True),
    maxExecutions=integer(lambda rules: rules.max_executions, "How many of the newest executions stay; null: no rule.", null=True, least=1),
    logs=string(lambda rules: _shown(rules.logs), "How long a log stays after the end of its execution; null: no rule.", null=True),
)
