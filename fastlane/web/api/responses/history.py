"""How executions ended, by the hour."""

from fastlane.models.history import HourCount
from fastlane.models.status import Status
from fastlane.services.reads.history import HistoryView
from fastlane.web.api.serializer import Serializer, array, integer, nested, number, timestamp

LATENESS = Serializer[HourCount](
    "HourLateness",
    "How late containers started after they were due, of the executions that ended in this hour.",
    started=integer(lambda count: count.started, "How many of them started."),
    meanMs=number(lambda count: count.mean_lateness, "Milliseconds, on average; null when none started."),
    maxMs=integer(lambda count: count.latest, "Milliseconds, the latest."),
)


HOURLY = Serializer[HourCount](
    "HistoryHour",
    "What ended within an hour.",
    hour=timestamp(lambda count: count.hour, "When the hour begins."),
    done=integer(lambda count: count.ended.get(Status.DONE, 0), "Executions that ended with exit code 0."),
    failed=integer(lambda count: count.ended.get(Status.FAILED, 0), "That failed."),
    timedout=integer(lambda count: count.ended.get(Status.TIMEDOUT, 0), "That ran for too long."),
    stopped=integer(lambda count: count.ended.get(Status.STOPPED, 0), "That were stopped."),
    expired=integer(lambda count: count.ended.get(Status.EXPIRED, 0), "That expired before they started."),
    lateness=nested(LATENESS, lambda count: count),
)

HISTORY = Serializer[HistoryView](
    "History",
    "How executions ended, by the hour. They are counted when they end, and stay counted when they are removed.",
    since=timestamp(lambda view: view.since, "When the first hour begins."),
    until=timestamp(lambda view: view.until, "When the last hour ends."),
    hours=array(HOURLY, lambda view: view.hours, "Each hour, also one in which nothing ended."),
)
