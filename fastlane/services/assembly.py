"""Every service that the web layer calls, and how each is built from the store, the queue, the hub, the clock and the pools."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.directory import CurrentPools, Directory
from fastlane.models.pool import Pool
from fastlane.queue.executions import WaitingQuotas
from fastlane.queue.port import QueueGeneration, TicketStore, TimedQueue, WorkerReports
from fastlane.services.admission import Idempotency
from fastlane.services.changes import Edits, JobChanges, JobPauses
from fastlane.services.deletions import Deletions
from fastlane.services.deliveries import Deliveries
from fastlane.services.events import AccessEvents, EventFeeds, EventReader
from fastlane.services.hosts import Hosts
from fastlane.services.manual_runs import ManualRuns
from fastlane.services.operator import OperatorActions
from fastlane.services.outbox import QueueOutbox
from fastlane.services.pools import Pools
from fastlane.services.reads.lists import Details, History, Lists
from fastlane.services.reads.logs import CompletionWaiter, Logs
from fastlane.services.reads.pools import PoolReader
from fastlane.services.reads.status import GaugeReader, Health, StatusReader
from fastlane.services.reads.why import WaitExplainer
from fastlane.services.stops import Stops
from fastlane.services.submissions import Previewer, Submissions
from fastlane.services.tickets import Tickets
from fastlane.storage.base import Store
from fastlane.streams.followers import Followers
from fastlane.streams.hub import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers call.

    ``submissions`` to ``hosts`` change something. They write the store first, which is the truth, and then tell the queue through
    ``outbox``: what the queue does not hear it is told again in the background, and the reconciler finds it in any case. So they raise
    StoreDown and QueueDown only while nothing is written (but see ``Pools.pause``). The other services only read.
    """

    submissions: Submissions
    edits: Edits
    manual_runs: ManualRuns
    pauses: JobPauses
    stops: Stops
    deletions: Deletions
    deliveries: Deliveries
    pools: Pools
    directory: Directory
    hosts: Hosts
    outbox: QueueOutbox
    previewer: Previewer
    details: Details
    logs: Logs
    lists: Lists
    why: WaitExplainer
    completion: CompletionWaiter
    health: Health
    status: StatusReader
    pool_reader: PoolReader
    gauges: GaugeReader
    history: History
    followers: Followers
    event_reader: EventReader
    event_feeds: EventFeeds
    access_events: AccessEvents
    operator: OperatorActions
    tickets: Tickets
    clock: Clock


def build_services(
    store: Store,
    queue: TimedQueue,
    data: QueueGeneration,
    reports: WorkerReports,
    tickets: TicketStore,
    hub: Hub,
    clock: Clock,
    given: Sequence[Pool],
    *,
    start_wait: float,
    directory: Directory | None = None,
) -> Services:
    """The services of one process. Close ``outbox`` at the end. ``given``: the pools in force, or pools that nothing changes.
    ``start_wait``: seconds for which a follower waits for a job's start; ``directory``: what keeps the pools in force."""
    pools = CurrentPools.of(given)
    directory = directory or Directory(store, pools, clock)
    outbox = QueueOutbox(queue, clock, pools)
    changes = JobChanges(store, clock)
    idempotency = Idempotency(store, outbox, clock)
    quotas = WaitingQuotas(queue, store, pools)
    stops = Stops(store, outbox, clock, changes)
    followers = Followers(store, hub, clock, start_wait=start_wait)
    return Services(
        submissions=Submissions(store, outbox, clock, pools, changes, idempotency, quotas),
        edits=Edits(store, outbox, clock, pools, changes, idempotency),
        manual_runs=ManualRuns(store, outbox, pools, changes, idempotency, quotas),
        pauses=JobPauses(outbox, changes),
        stops=stops,
        deletions=Deletions(store, outbox, clock, stops),
        deliveries=Deliveries(store, clock),
        pools=Pools(store, store, outbox, clock, pools),
        directory=directory,
        hosts=Hosts(store, store, reports, pools, clock, directory.refresh),
        outbox=outbox,
        previewer=Previewer(reports, clock, pools),
        details=Details(store, clock),
        logs=Logs(store, clock),
        lists=Lists(store, clock),
        why=WaitExplainer(store, queue, reports, clock, pools),
        completion=CompletionWaiter(store, hub),
        health=Health(store, queue, reports, pools),
        status=StatusReader(store, queue, reports, clock, directory),
        pool_reader=PoolReader(store, queue, reports, pools),
        gauges=GaugeReader(store, queue, reports, pools, followers, clock),
        history=History(store, clock),
        followers=followers,
        event_reader=EventReader(store, clock),
        event_feeds=EventFeeds(),
        access_events=AccessEvents(store, clock),
        operator=OperatorActions(store, outbox, data, reports, clock),
        tickets=Tickets(tickets, clock),
        clock=clock,
    )
