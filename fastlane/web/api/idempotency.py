"""The header ``Idempotency-Key``: a request that is sent again under its key has no second effect."""

from hashlib import blake2b

from fastlane.errors import Fault, Invalid
from fastlane.models.idempotency import IdempotencyKey
from fastlane.services.jobs.results import Enqueued
from fastlane.web.http.handler import Handler

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
LONGEST = 255


def read_once(handler: Handler, *asked: str) -> IdempotencyKey | None:
    """The request's key, within who sends it and what is ``asked`` for; None without one. Raises Invalid for one that cannot be a key."""
    if HEADER not in handler.request.headers:
        return None
    key = handler.request.headers[HEADER]
    if not key.strip() or len(key) > LONGEST or not key.isprintable():
        words = f"is not 1 to {LONGEST} printable characters; send a key that no other request has, such as a new UUID"
        raise Invalid([Fault(HEADER, words)])
    user = handler.requester.user
    return IdempotencyKey(_digest("" if user is None else f"user {user}", *asked, key), _digest(bytes(handler.body).hex()))


async def answer_once(handler: Handler, made: Enqueued) -> None:
    """Sends the enqueue reply, and says so when it is an earlier request's."""
    mark(handler, made)
    await handler.answer(handler.renderer.enqueued(made))


def mark(handler: Handler, made: Enqueued) -> None:
    """Says in a header that the answer is an earlier request's, when it is."""
    if made.replayed:
        handler.set_header(REPLAYED, "true")


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
