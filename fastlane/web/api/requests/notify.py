"""The mailboxes in the body that describes a job."""

from collections.abc import Sequence
from functools import partial
from itertools import chain, count

from marshmallow import ValidationError

from fastlane.errors import Fault
from fastlane.models.notify.mailbox import ADDRESS, MAX_ADDRESS, MAX_MAILBOXES, Mailbox, is_allowed, read_address
from fastlane.models.notify.occasion import Occasion
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.http.fields import list_of, read_fields

EXAMPLE = '"team@example.com"'
NO_SERVER = "needs a mail server, and this installation has none; ask for smtp_host to be set, or leave this out"
NOT_ALLOWED = "may get no mail from here; give an address of a domain that may, or ask for it to be in notify_allow"


def read_notify(value: object) -> tuple[Mailbox, ...]:
    """The lists of addresses of a job, as one."""
    readers = {occasion.value: list_of(partial(_read_mailbox, occasion), MAX_MAILBOXES, EXAMPLE) for occasion in Occasion}
    return tuple(chain.from_iterable(read_fields(value, readers, "notify").values()))


def mail_faults(mailboxes: Sequence[Mailbox], allowed: Sequence[str] | None) -> list[Fault]:
    """A fault for mailboxes that nobody could send a mail to, or for each that is not among the ``allowed``. None: there is no mail
    server."""
    if allowed is None:
        return [Fault("notify", NO_SERVER)] if mailboxes else []
    faults, places = [], {occasion: count() for occasion in Occasion}
    for mailbox in mailboxes:
        place = next(places[mailbox.occasion])
        if not is_allowed(mailbox.address, allowed):
            faults.append(Fault(f"notify.{mailbox.occasion}.{place}", NOT_ALLOWED))
    return faults


def _read_mailbox(occasion: Occasion, value: object) -> Mailbox:
    try:
        return Mailbox(occasion, read_address(value))
    except ValueError as error:
        raise ValidationError(str(error)) from None


MAILBOX: JsonSchema = {"type": "string", "maxLength": MAX_ADDRESS, "pattern": f"^(?=.{{1,64}}@){ADDRESS.pattern}$"}
NOTIFY: JsonSchema = {
    "type": "object",
    "properties": {occasion.value: nullable({"type": "array", "items": MAILBOX, "maxItems": MAX_MAILBOXES}) for occasion in Occasion},
    "additionalProperties": False,
    "examples": [{"fails": ["team@example.com"]}],
}
