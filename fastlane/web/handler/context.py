"""What all handlers share."""

from dataclasses import dataclass

from fastlane.metrics.metrics import Metrics
from fastlane.services.assembly import Services
from fastlane.tracing.base import Recorder
from fastlane.web.http.active_requests import ActiveRequests
from fastlane.web.http.body import BodyMemory
from fastlane.web.http.deadlines import ClientDeadlines
from fastlane.web.http.heartbeats import Heartbeats
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.security.rates import RequestRates
from fastlane.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class AppContext:
    """What all handlers share. ``authenticator`` is None when the settings name neither users nor tokens: everyone may do everything.
    ``recorder`` takes spans; None: nothing is traced."""

    services: Services
    settings: WebSettings
    origins: RequestOrigins
    authenticator: Authenticator | None
    active_requests: ActiveRequests
    body_memory: BodyMemory
    deadlines: ClientDeadlines
    metrics: Metrics
    rates: RequestRates
    heartbeats: Heartbeats
    recorder: Recorder | None = None
