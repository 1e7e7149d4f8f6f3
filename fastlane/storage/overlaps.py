"""What stores share about the executions of a job that are under way."""

from fastlane.models.status import FINAL, Status

MOST = 100
"""Executions under way that are read of a job. More come about by ``force`` alone."""

OVER = tuple(sorted(FINAL - {Status.FAILED}))
"""Final statuses after which no attempt follows. One that this version does not know may be that of a container that runs."""
