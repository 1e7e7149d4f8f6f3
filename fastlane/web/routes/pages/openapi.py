"""``/openapi.json``."""

from fastlane.web.api.contract import Response, operation
from fastlane.web.handler.handler import Handler
from fastlane.web.openapi.document import Document


class OpenApiHandler(Handler):
    """``/openapi.json``."""

    @operation("getOpenApi", answers={200: Response("An OpenAPI 3.1 document.", media=("application/json",))})
    async def on_get(self) -> None:
        """The contract as OpenAPI."""
        document = self.application.settings["document"]
        assert isinstance(document, Document)
        await self.send_json({**document.content, "servers": [{"url": self.base_url}]})
