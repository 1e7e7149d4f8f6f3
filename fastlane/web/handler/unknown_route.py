"""The answer to a path that no route has."""

import re
from collections.abc import Mapping, Sequence

from fastlane.models.access import Role
from fastlane.web.handler.handler import Handler
from fastlane.web.http.problems import Problem


class UnknownRoute(Handler):
    """Answers a path that matches no route."""

    write_role = Role.READ

    def initialize(self, *, path: Mapping[str, str], route: str = "", near: Sequence[str] = ()) -> None:
        """Takes the routes that begin as the path does."""
        super().initialize(path=path, route=route)
        self._near = near

    async def on_get(self) -> None:
        """404."""
        routes = ", ".join(re.sub(r"{(task|job|execution|delivery)_id}", lambda found: found[1][0].upper(), route) for route in self._near)
        raise Problem(404, f"there is no route {self.request.path[:200]}; the routes are: {routes}. GET /openapi.json describes all routes")

    on_post = on_put = on_patch = on_delete = on_options = on_get
