"""``/metrics``: what Prometheus reads."""

from fastlane.metrics.metrics import text_of
from fastlane.web.api.contract import METRICS, Response, operation
from fastlane.web.api.responses.metrics import gauges_of
from fastlane.web.handler.handler import Handler
from fastlane.web.security.networks import Networks, read_address


class MetricsHandler(Handler):
    """``/metrics``."""

    @operation("getMetrics", answers={200: Response("The figures of this process, and of the installation now.", media=(METRICS,))})
    async def on_get(self) -> None:
        """Figures for Prometheus, in its text format."""
        gauges = gauges_of(await self.services.gauges.read())
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", METRICS)
        sees = self.principal.sees if self.principal is not None and self.principal.tasks else None
        # What a process counts is of no use without knowing which one it was.
        shared = self.web_settings.shares_port
        await self.deliver(self.finish(text_of(gauges) if shared else self.context.metrics.text(gauges, sees)))

    async def log_in(self) -> None:
        """Lets the networks of ``metrics_allow`` read without a login."""
        address = read_address(self.context.origins.client_address(self.request) or "")
        if address not in Networks(self.web_settings.metrics_allow):
            await super().log_in()
