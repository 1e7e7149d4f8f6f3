"""Links from one object to another."""

from fastlane.web.api.serializer import Serializer, string, url

LINK = Serializer[tuple[str, ...]](
    "Link",
    "The id and the URL of something.",
    id=string(lambda ids: ids[-1], "Its id."),
    url=url(lambda ids, render: render.resource_url(*ids), "Where it is read."),
)
"""Of the ids of a task, of its job, and of the job's execution: as far as they are given."""
