"""The answers' JSON, described for the OpenAPI document: ``rendering`` and its neighbours make it, tests hold the two together."""

from collections.abc import Sequence

from marshmallow import INCLUDE, Schema, fields

from fastlane.models.execution import Reason
from fastlane.models.schedule import CatchUp, Kind, Overlap
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.services.waiting import Cause
from fastlane.web.lists import JOB_STATUSES
