"""What requests about tasks and about jobs have in common: the body that describes a job, the idempotency key, the query of a deletion."""

from fastlane.models.idempotency import IdempotencyKey
from fastlane.models.job import Spec
from fastlane.models.schedule.schedule import Schedule
from fastlane.services.results import Enqueued
from fastlane.web.api.contract import REPLAYED, flag
from fastlane.web.api.idempotency import read_key
from fastlane.web.api.requests.job import read_job
from fastlane.web.api.responses.actions import ENQUEUED
from fastlane.web.handler.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object

DELETE_QUERY = {"stop": flag("Stops it before deleting it.")}


def read_job_body(handler: Handler) -> tuple[Spec, Schedule]:
    """What to run and when. Raises Invalid with every fault."""
    body, now = read_object(bytes(handler.body)), handler.services.clock.now()
    return read_job(body, now, hard_retries=handler.web_settings.hard_retries, hard_timeout=_hard_timeout(handler))


def _hard_timeout(handler: Handler) -> float:
    """The longest ``timeout`` that a job of the request's task may have, in seconds."""
    return handler.web_settings.hard_timeout


def read_stop_first(handler: Handler) -> bool:
    """Whether a deletion stops its target first."""
    return read_flag(handler.query, "stop")


def read_idempotency_key(handler: Handler, *scope: str) -> IdempotencyKey | None:
    """The request's idempotency key. Raises Invalid."""
    return read_key(handler.request.headers, handler.requester.user, bytes(handler.body), *scope)


def mark_replayed(handler: Handler, made: Enqueued) -> None:
    """Tells in a header that this answers an earlier request, if it does."""
    if made.replayed:
        handler.set_header(REPLAYED, "true")


async def answer_enqueued(handler: Handler, made: Enqueued) -> None:
    """Answers with the ids of an accepted job."""
    mark_replayed(handler, made)
    await handler.answer(ENQUEUED, made)
