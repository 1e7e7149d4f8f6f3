"""What schemathesis is told beyond ``schemathesis.toml``, which names this file: which valid requests may be refused all the same.

The document says what JSON Schema can say. What it cannot is a row of ``UNSAID``: the field, and words of the refusal, which must be the
request's only fault. Everything else that is valid by the document must be accepted.
"""

import json
from fnmatch import fnmatchcase
from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import positive_data_acceptance

UNSAID = (
    ("after", "is not from a nextUrl of this list"),  # a token that the server made
    ("from", "is not a cursor"),  # likewise
    ("If-Match", "is not * or an ETag"),  # likewise
    ("from", "is a cursor of something else"),
    ("If-Match", "is not * or an ETag"),  # schemathesis also sends headers that do not match their pattern
    ("tail", "cannot be used together with from"),  # of the query one name excludes another
    ("since", "cannot be used together with from"),
    ("*", "cannot be used together with follow"),
    ("until", "cannot be used together with days"),
    ("until", "is not after from"),  # two names of a query
    ("since", "is not before until"),
    ("from", "days ahead; choose an earlier moment"),  # depends on the time it is now
    ("forecast", "needs dryRun=1"),
    ("from", "needs follow=1"),
    ("ping", "needs follow=1"),
    ("stream", "needs follow=1"),
    ("pattern", ""),  # a language of its own
    ("job", "needs task"),  # of the query one name needs another
    ("encoding", "needs the header Accept"),
    ("", "has a NUL character"),  # in any text of a body, however deep
    ("service", "cannot be used together with image"),  # of a PATCH
    ("cron", "is not a schedule"),  # a language of its own
    ("cron", "cannot be the"),
    ("cron", "never runs"),
    ("cron.*", "is not a schedule"),  # likewise
    ("cron.*", "cannot be the"),
    ("cron.*", "never runs"),
    ("after", "and there is no such job"),  # which jobs there are
    ("after", "twice"),  # a name and an id of one job
    ("after", "leave out one of the links"),  # a circle
    ("after", "has an empty text"),  # only blanks
    ("cron", "is not an interval"),
    ("cron.*", "is not an interval"),
    ("cron.*", "is there twice"),
    ("skipDates.*", "has no such day"),  # of that month
    ("skipDates.*", "runs backwards"),
    ("skipDates.*", "is not the name of a calendar"),  # which calendars there are
    ("dates.*", "has no such day"),
    ("dates.*", "runs backwards"),
    ("dates.*", "some that cannot be printed"),
    ("dates", "needs either dates or icalendar"),
    ("icalendar", ""),  # a language of its own
    ("cron.*", "is not a time zone"),
    ("cron.*", "is an offset"),
    ("timezone", "is not a time zone"),  # a name out of a list that changes
    ("timezone", "is an offset"),
    ("timezone", "is for a job with a cron"),  # of a PATCH, it depends on the job
    ("catchUp", "is for a job with a cron"),
    ("expiration", "so it would never run"),  # depends on the time it is now
    ("expiresIn", "so it would never run"),
    ("*", "is for a job with a cron"),  # a PATCH: what the job has
    ("*", "is for a job that follows others"),
    ("retryDelay", "and the job has no retries"),  # likewise
    ("retryOn", "and the job has no retries"),
    ("pauseAfter", "is for a job with a cron"),
    ("notifyAfter", "is for a job with a cron"),
    ("doneBy", "is for a job with a cron"),
    ("doneBy", "cannot be used together with expectEvery"),
    ("onOom*", "and the job has no retries"),
    ("onOom", "raises resources.memory"),
    ("onOom", 'does not have "oom"'),
    ("onOom.max", "is not more than resources.memory"),
    ("concurrencyKey", "and the job has none"),  # likewise
    ("unique", "is for a job that is enqueued or scheduled"),  # by the job's start
    ("parameters.*", "is not a parameter of this job"),  # what the job declares
    ("parameters.*", "this job's run needs it"),
    ("parameters.*", "is not one of its choices"),
    ("parameters.*", "does not match"),
    ("parameters.*", "give it a default"),  # by the job's start
    ("parameters.*", "is in envs as well"),
    ("to", "due times after from"),  # of a backfill: of how many its job has, and of the time it is now
    ("to", "is in the future"),
    ("from", "is not before to"),  # two fields
    ("from", "is older than the history that is kept"),  # depends on what is stored
    ("parameters.*.choices", "cannot be used together with secret"),
    ("parameters.*.pattern", "for alternatives there is choices"),  # a language of its own
    ("parameters.*.pattern", "in a way that cannot be"),
    ("parameters.*.pattern", "has more than"),
    ("parameters.*", "as a value with a pattern may not be"),
    ("parameters", "is longer than"),  # bytes, not characters
    ("timeout", "is more than this server allows"),  # each pool has its own limit
    ("resources.reserve.*", "is more than resources."),  # one number is to be below another
    ("container.mounts.*.target", "is there twice"),  # also when one has a slash at its end
    ("container.secrets.*.target", "is there twice"),
    ("container.configs.*.target", "is there twice"),
    ("container.capAdd.*", "is there twice"),  # also when one begins with CAP_
    ("container.capDrop.*", "is there twice"),
    ("container.capDrop.*", "is in capAdd as well"),
    ("container.dns.*", "is there twice"),  # one address has several forms
    ("container.ulimits.*", "above its hard one"),  # one number is to be below another
    ("container.entrypoint", "is longer than"),  # bytes, not characters
    ("*extraHosts", "differ only in capitals"),
    ("*additionalDNSEntries", "differ only in capitals"),
    ("*additionalDNSEntries", "differs from"),  # two names of one thing
    ("webhooks.*.url", "which is not public"),  # depends on webhook_allow
    ("notify", "needs a mail server"),  # depends on smtp_host
    ("notify.*", "may get no mail from here"),  # depends on notify_allow
    ("command", "is longer than"),  # bytes, not characters
    ("envs", "is longer than"),
    ("metadata", "is longer than"),
    ("taskId", "at most 255 bytes"),
    ("task", "at most 255 bytes"),
)


@schemathesis.check
def valid_requests_are_accepted(ctx: Any, response: Any, case: Any) -> None:
    """schemathesis's own check, but for what no schema can say."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if not is_unsaid(response.status_code, json.loads(response.content)):
            raise


def is_unsaid(status: int, problem: dict[str, Any]) -> bool:
    """Whether all that this refusal names is in the table. A key that stands on another request is a 422 of its own."""
    faults = problem.get("errors", ())
    if status in (412, 416):  # no made-up ETag is a job's, and no made-up range lies in its log
        return True
    if status == 422:
        return "this key was sent with another body" in problem["detail"]
    return bool(faults) and all(is_in_table(fault["field"], fault["message"]) for fault in faults)


def is_in_table(field: str, message: str) -> bool:
    """Whether this fault is one that no schema can say."""
    return any(fnmatchcase(field, name) and words in message for name, words in UNSAID)
