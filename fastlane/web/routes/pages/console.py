"""The console: pages for people, at ``/`` and below ``/console``."""

from fastlane.web.api.contract import Parameter, Response, operation, pages
from fastlane.web.handler.handler import Handler
from fastlane.web.handler.page import HTML
from fastlane.web.routes.jobs.executions import FILTERS
from fastlane.web.routes.pages.pages import show_page

SEARCH = {"query": Parameter("Words in task ids.", {"type": "string"})}
LIKE = {"like": Parameter("The job that a new one is to be like: TASK/ID.", {"type": "string"})}


class ConsoleHandler(Handler):
    """A page of the console. Its path below ``/console`` and its query are those of the API's route whose content it shows; the script
    finds out which, and the API judges them."""

    @operation("showConsole", answers={200: Response("A page.", media=(HTML,))}, query={**FILTERS, **SEARCH, **LIKE, **pages()})
    async def on_get(self, **_names: str) -> None:
        """The page, which contains no data."""
        await show_page(self, "console.html")
