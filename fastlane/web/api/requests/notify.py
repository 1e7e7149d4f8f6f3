"""The mailboxes in the body that describes a job."""

from collections.abc import Sequence
from functools import partial
from itertools import chain

from marshmallow import ValidationError

from fastlane.errors import Fault
from fastlane.models.notify.mailbox import ADDRESS, MAX_ADDRESS, MAX_MAILBOXES, Mailbox, read_address
from fastlane.models.notify.occasion import Occasion
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.http.fields import list_of, read_fields

EXAMPLE = '"team@example.com"'
NO_SERVER = "needs a mail server, and this installation has none; ask for smtp_host to be set, or leave this out"


def read_notify(value: object) -> tuple[Mailbox, ...]:
    """The lists of addresses of a job, as one."""
    readers = {occasion.value: list_of(partial(_read_mailbox, occasion), MAX_MAILBOXES, EXAMPLE) for occasion in Occasion}
    return tuple(chain.from_iterable(read_fields(value, readers, "notify").values()))


def server_faults(mailboxes: Sequence[Mailbox], has_mail: bool) -> list[Fault]:
    """A fault for mailboxes that nobody could send a mail to."""
    return [] if has_mail or not mailboxes else [Fault("notify", NO_SERVER)]


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
