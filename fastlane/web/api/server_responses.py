"""The JSON of answers about the server itself, of explanations and of errors, as schemas for the OpenAPI document."""

from marshmallow import INCLUDE, Schema, fields

from fastlane.models.status import Status
from fastlane.services.reads.wait_reasons import Cause
from fastlane.web.api.response_fields import link, many, moment, one, table, text, uuid, whole, word, yes
from fastlane.web.api.responses import JOB_STATUSES


class HostDown(Schema):
    """A host that cannot be used."""

    host = text()
    reason = text()
    since = moment("Since when.", null=True)
    circuit = text("open: it is left alone.", given=False)
    faults = whole("How many in a row made it be left alone.", given=False)
    retryAt = moment("When it is called again, unless its probe finds it well before.", given=False)


class Wait(Schema):
    """One thing that is waited for; which fields stand beside its words depends on the reason."""

    class Meta:
        unknown = INCLUDE

    reason = word(Cause)
    message = text()
    since = moment("Since when; null where nobody knows.", null=True)
    until = moment("Until when at the latest; null where nobody knows.", null=True)
    heldTick = moment("The tick that a pause holds.", given=False)
    pool = text(null=True, given=False)
    running = whole("How many run.", given=False)
    maxRunning = whole("How many may run at once in the pool.", given=False, least=1)
    ready = whole("How many wait for a place.", given=False)
    hosts = many(HostDown, given=False)
    concurrency = whole("Of its task as many run as it allows.", given=False, least=1)
    image = text(given=False)
    host = text(null=True, given=False)
    attempt = whole("The attempt to come.", given=False, least=2)


class Why(Schema):
    """What a job or an execution waits for now: nothing, one thing or several."""

    status = word(JOB_STATUSES)
    waitingFor = many(Wait)


# the server itself


class Alive(Schema):
    """This process serves."""

    alive = yes()


class Trouble(Schema):
    """What is wrong with one part."""

    source = word(("store", "redis", "workers", "docker"))
    message = text()


class Health(Schema):
    """Which parts are well."""

    redis = yes()
    store = yes()
    mongo = yes("The store, under the name that it had in fastlane 2.x.")
    docker = yes("Whether every pool has a usable host.")
    workers = yes("Whether one is alive.")
    errors = many(Trouble)


class About(Schema):
    """What answers."""

    version = text()
    executor = word(("swarm",))


class Worker(Schema):
    """A worker that is alive."""

    id = text()
    startedAt = moment("When it started.")


class Workers(Schema):
    """The workers that are alive."""

    alive = whole()
    items = many(Worker)


class Host(Schema):
    """A Docker host of a pool, as the workers see it."""

    host = text()
    port = whole(null=True, least=1)
    pool = text()
    swarm = text(null=True)
    available = yes()
    blacklisted = yes()
    circuit = text("closed, open or half-open.", null=True)
    error = text(null=True)
    running = whole()


class Container(Schema):
    """What runs."""

    host = text(null=True)
    port = whole(null=True, least=1)
    task = text()
    job = uuid()
    execution = uuid()
    id = text("The container's id.", null=True)
    image = text()


class Containers(Schema):
    """What runs, a thousand at most."""

    running = many(Container)


class Lane(Schema):
    """How many entries of a pool's queue stand where."""

    ready = whole()
    timed = whole()
    running = whole()


class TaskCount(Schema):
    """How many tasks there are."""

    count = whole()


class Scheduled(Schema):
    """A job that is due some time."""

    taskId = text()
    jobId = uuid()
    url = link("The job.")
    nextRunAt = moment("Its next tick.", null=True)
    stopUrl = link("POST here to stop it.")


class JobCount(Schema):
    """How many jobs there are, and the next that are due."""

    count = whole()
    scheduled = many(Scheduled)


ByStatus = Schema.from_dict({status.value: whole(f"How many are {status.value}.") for status in Status}, name="ExecutionsByStatus")


class ServerStatus(Schema):
    """What goes on, at a glance."""

    fastlane = one(About)
    uptime = whole("Seconds that this process serves.")
    workers = one(Workers)
    hosts = many(Host)
    containers = one(Containers)
    queues = table(fields.Nested(Lane), "By pool.")
    tasks = one(TaskCount)
    jobs = one(JobCount)
    executions = one(ByStatus)


class Fault(Schema):
    """One thing that is wrong with the request."""

    field = text("A dotted path; empty for the whole.")
    message = text("What to do about it.")


class Problem(Schema):
    """An error (RFC 9457)."""

    type = text()
    title = text()
    status = whole(least=400)
    detail = text("What is wrong, and what to do.")
    error = text("The detail, under the name that it had in fastlane 2.x.")
    errors = many(Fault, "Of a request that is not valid, every fault.", given=False)
    executionStatus = word(JOB_STATUSES, "Of what has no log yet.", given=False)
