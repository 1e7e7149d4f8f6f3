"""Every service that the web layer calls, and how each is built."""

from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.directory import Directory
from fastlane.queue.port import Queue
from fastlane.services.declared_jobs import DeclaredJobs
from fastlane.services.deliveries import Deliveries
from fastlane.services.events import AccessEvents, EventFeeds, EventReader
from fastlane.services.jobs import Edits, JobChanges, JobPauses, ManualRuns, Previewer, Submissions
from fastlane.services.operations import HostRegistry, OperatorActions, Pools
from fastlane.services.outbox import QueueOutbox
from fastlane.services.parts import DescribeChange, ServiceParts
from fastlane.services.reads.lists import Details, History, Lists
from fastlane.services.reads.logs import CompletionWaiter, Logs
from fastlane.services.reads.pools import PoolReader
from fastlane.services.reads.status import GaugeReader, Health, StatusReader
from fastlane.services.reads.why import WaitExplainer
from fastlane.services.stops import Deletions, Stops
from fastlane.services.tickets import Tickets
from fastlane.storage.base import Store
from fastlane.streams.followers import Followers
from fastlane.streams.reader import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers call.

    ``submissions`` to ``hosts`` change something. They write the store first, which is the truth, and then the queue, through ``outbox``.
    ``outbox`` repeats in the background what the queue did not take, and the reconciler finds it in any case. So they raise StoreDown and
    QueueDown only while nothing is written (but see ``Pools.pause``). The other services only read.
    """

    submissions: Submissions
    edits: Edits
    manual_runs: ManualRuns
    pauses: JobPauses
    stops: Stops
    deletions: Deletions
    declared: DeclaredJobs
    deliveries: Deliveries
    pools: Pools
    directory: Directory
    hosts: HostRegistry
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
    store: Store, queue: Queue, hub: Hub, clock: Clock, directory: Directory, *, start_wait: float, describe_change: DescribeChange
) -> Services:
    """Builds the services of one process. Close ``outbox`` at the end. ``directory`` has the pools in force. ``start_wait`` is the time in
    seconds for which a follower waits for a job's start."""
    outbox = QueueOutbox(queue, clock, directory.pools)
    parts = ServiceParts(store, queue, hub, clock, directory, outbox, describe_change)
    stops = Stops(store, outbox, clock, JobChanges(parts))
    followers = Followers(store, hub, clock, start_wait=start_wait)
    health = Health(parts)
    return Services(
        submissions=Submissions(parts),
        edits=Edits(parts),
        manual_runs=ManualRuns(parts),
        pauses=JobPauses(parts),
        stops=stops,
        deletions=Deletions(parts, stops),
        declared=DeclaredJobs(parts, stops),
        deliveries=Deliveries(parts),
        pools=Pools(parts),
        directory=directory,
        hosts=HostRegistry(parts),
        outbox=outbox,
        previewer=Previewer(parts),
        details=Details(parts),
        logs=Logs(parts),
        lists=Lists(parts),
        why=WaitExplainer(parts),
        completion=CompletionWaiter(parts),
        health=health,
        status=StatusReader(parts),
        pool_reader=PoolReader(parts),
        gauges=GaugeReader(parts, followers, health),
        history=History(parts),
        followers=followers,
        event_reader=EventReader(parts),
        event_feeds=EventFeeds(),
        access_events=AccessEvents(parts),
        operator=OperatorActions(parts),
        tickets=Tickets(parts),
        clock=clock,
    )
