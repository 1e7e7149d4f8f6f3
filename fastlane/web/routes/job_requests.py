"""What requests about tasks and about jobs have in common: the body that describes a job, and the query of a deletion."""

from fastlane.models.job import Spec
from fastlane.models.schedule.schedule import Schedule
from fastlane.web.api.contract import flag
from fastlane.web.api.requests import read_job
from fastlane.web.http.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object

DELETE_QUERY = {"stop": flag("Stops it first.")}


def read_job_body(handler: Handler) -> tuple[Spec, Schedule]:
    """What to run and when. Raises Invalid with every fault."""
    now, most = handler.services.clock.now(), handler.web_settings.hard_retries
    return read_job(read_object(bytes(handler.body)), now, hard_retries=most)


def read_stop_first(handler: Handler) -> bool:
    """Whether a deletion stops its target first."""
    return read_flag(handler.query, "stop")
