"""A job as the body that PUT takes: read it, edit it, send it back. What was not asked for is not there."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.job import Job
from fastlane.models.schedule.schedule import CatchUp, Overlap, show_duration
from fastlane.web.api.container.responses import CONTAINER, RESOURCES, asked_container, asked_resources
from fastlane.web.api.render_context import RenderContext
from fastlane.web.api.requests.readers import MAX_COMMAND_TEXT
from fastlane.web.api.responses.retention import RETENTION, own_retention
from fastlane.web.api.responses.webhooks import LISTENERS, WEBHOOKS
from fastlane.web.api.serializer import Field, Serializer, enum, envs, integer, mapping, nested, rendered, string, timestamp


def _command(job: Job, render: RenderContext) -> str | list[str] | None:
    arguments: Sequence[str] | None = job.spec.command
    if arguments is None:
        return None
    shown = [render.redaction.text(argument) for argument in arguments]
    text = shlex.join(shown)
    return text if len(text) <= MAX_COMMAND_TEXT else shown


def _duration(name: str, about: str) -> Field[Job]:
    """A duration of the spec, as text, unless it is None."""

    def show(job: Job) -> str | None:
        milliseconds = getattr(job.spec, name)
        return None if milliseconds is None else show_duration(milliseconds / 1000)

    return string(show, about, optional=True, examples=["1m30s"])


def _given(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return values or None


def _cron(job: Job) -> str | None:
    return job.schedule.cron.text if job.schedule.cron else None


def _overlap(job: Job) -> Overlap | None:
    return None if job.schedule.overlap is Overlap.ALLOW else job.schedule.overlap


def _catch_up(job: Job) -> CatchUp | None:
    return None if job.schedule.catch_up is CatchUp.LATEST else job.schedule.catch_up


def _integer(name: str, about: str, least: int = 1) -> Field[Job]:
    """A number of the spec, unless it is 0."""
    return integer(lambda job: getattr(job.spec, name) or None, about, optional=True, least=least)


def _retries(job: Job) -> int | None:
    """A retryDelay needs retries beside it, if only 0."""
    return job.spec.retries if job.spec.retries or job.spec.retry_delay is not None else None


DEFINITION = Serializer[Job](
    "Definition",
    "The job as the body that PUT takes. Only redacted values (********) must be filled in before it is sent.",
    name=string(lambda job: job.spec.name, "A name for people.", optional=True),
    labels=mapping(lambda job: _given(job.spec.labels), "Its labels, by name.", values={"type": "string"}, optional=True),
    image=string(lambda job: job.spec.image, "The image."),
    command=rendered(
        _command,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        f"Text; a list when it is longer than {MAX_COMMAND_TEXT:,} characters.",
    ),
    envs=envs(lambda job: job.spec.envs, optional=True),
    startAt=timestamp(lambda job: job.schedule.at, "When a job that runs once, later, is due.", optional=True),
    cron=string(_cron, "The cron, as it was given.", optional=True),
    timezone=string(
        lambda job: job.schedule.cron.timezone if job.schedule.cron else None, "The zone whose clocks the cron means.", optional=True
    ),
    overlap=enum(Overlap, _overlap, "What a tick does while an earlier execution is under way; absent: allow.", optional=True),
    catchUp=enum(CatchUp, _catch_up, "What follows when ticks were missed; absent: latest.", optional=True),
    retries=integer(_retries, "How many further attempts may follow a failed one; absent: 0.", optional=True),
    retryDelay=_duration("retry_delay", "The time before each further attempt; absent: exponential back-off."),
    timeout=_duration("timeout", "How long it may run; absent: as its pool or the setting hard_timeout says."),
    expiration=timestamp(lambda job: job.spec.expiration, "The moment by which it must have started.", optional=True),
    expiresIn=_duration("expires_in", "How long after it was due it may still start."),
    priority=_integer("priority", "Within its pool, a point counts as a minute of waiting; absent: 0.", -100),
    concurrency=_integer("concurrency", "It waits while this many executions of its task run."),
    resources=nested(RESOURCES, lambda job: asked_resources(job.spec.resources), optional=True),
    container=nested(CONTAINER, lambda job: asked_container(job.spec.container), optional=True),
    webhooks=nested(WEBHOOKS, lambda job: job.spec.webhooks or None, optional=True),
    expectEvery=_duration("expect_every", "How often it is to succeed; absent: it is never late."),
    notify=nested(LISTENERS, lambda job: job.spec.notify or None, optional=True),
    retention=nested(RETENTION, lambda job: own_retention(job.spec.retention), optional=True),
    metadata=mapping(lambda job: _given(job.spec.metadata), "What the client gave.", optional=True),
)
