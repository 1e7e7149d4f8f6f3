"""Every service that the web layer calls, and how each is built."""

from dataclasses import dataclass

from fastlane.calendars import CalendarBook
from fastlane.clock import Clock
from fastlane.directory import Directory
from fastlane.queue.port import Queue
from fastlane.services.backfills import Backfills
from fastlane.services.calendars import Calendars
from fastlane.services.chains import Chains
from fastlane.services.declared_jobs import DeclaredJobs
from fastlane.services.deliveries import Deliveries
from fastlane.services.events import AccessEvents, EventFeeds, EventReader
from fastlane.services.jobs import Edits, Idempotency, JobChanges, JobPauses, ManualRuns, Previewer, Submissions
from fastlane.services.operations import HostRegistry, OperatorActions, Pools
from fastlane.services.outbox import QueueOutbox
from fastlane.services.parts import DescribeChange, ServiceParts
from fastlane.services.reads.archive import LogArchives
from fastlane.services.reads.chain import ChainReader
from fastlane.services.reads.forecast import ForecastReader
from fastlane.services.reads.lists import Details, History, Lists
from fastlane.services.reads.logs import CompletionWaiter, Logs
from fastlane.services.reads.pools import PoolReader
from fastlane.services.reads.search import AT_ONCE, AT_ONCE_OF_CALLER, LogSearches
from fastlane.services.reads.status import GaugeReader, Health, StatusReader
from fastlane.services.reads.trends import Trends
from fastlane.services.reads.usage import TABLES_AT_ONCE, TABLES_OF_CALLER, UsageSums
from fastlane.services.reads.why import WaitExplainer
from fastlane.services.receipts import Receipts
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
    idempotency: Idempotency
    chains: Chains
    manual_runs: ManualRuns
    backfills: Backfills
    pauses: JobPauses
    stops: Stops
    deletions: Deletions
    declared: DeclaredJobs
    deliveries: Deliveries
    pools: Pools
    directory: Directory
    hosts: HostRegistry
    calendars: Calendars
    outbox: QueueOutbox
    previewer: Previewer
    details: Details
    logs: Logs
    searches: LogSearches
    archives: LogArchives
    search_feeds: EventFeeds
    lists: Lists
    why: WaitExplainer
    chain_reader: ChainReader
    completion: CompletionWaiter
    health: Health
    status: StatusReader
    pool_reader: PoolReader
    gauges: GaugeReader
    history: History
    forecasts: ForecastReader
    receipts: Receipts
    trends: Trends
    usage: UsageSums
    usage_feeds: EventFeeds
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
    seconds for which a follower waits for a job's start. These services know no key for receipts."""
    outbox = QueueOutbox(queue, clock, directory.pools)
    book = CalendarBook(store.calendars, directory.pools.calendars)
    parts = ServiceParts(store, queue, hub, clock, directory, outbox, describe_change, book)
    stops = Stops(store, outbox, clock, JobChanges(parts))
    followers = Followers(store, hub, clock, book, start_wait=start_wait)
    health, calendars, searches = Health(parts), Calendars(parts), LogSearches(parts)
    return Services(
        submissions=Submissions(parts),
        edits=Edits(parts),
        idempotency=Idempotency(parts),
        chains=Chains(parts),
        manual_runs=ManualRuns(parts),
        backfills=Backfills(parts, stops),
        pauses=JobPauses(parts),
        stops=stops,
        deletions=Deletions(parts, stops),
        declared=DeclaredJobs(parts, stops, calendars),
        deliveries=Deliveries(parts),
        pools=Pools(parts),
        directory=directory,
        hosts=HostRegistry(parts),
        calendars=calendars,
        outbox=outbox,
        previewer=Previewer(parts),
        details=Details(parts),
        logs=Logs(parts),
        searches=searches,
        archives=LogArchives(parts, searches),
        search_feeds=EventFeeds(AT_ONCE, AT_ONCE_OF_CALLER, "search logs"),
        lists=Lists(parts),
        why=WaitExplainer(parts),
        chain_reader=ChainReader(parts),
        completion=CompletionWaiter(parts),
        health=health,
        status=StatusReader(parts),
        pool_reader=PoolReader(parts),
        gauges=GaugeReader(parts, followers, health),
        history=History(parts),
        forecasts=ForecastReader(parts),
        receipts=Receipts(store, clock, None),
        trends=Trends(parts),
        usage=UsageSums(parts),
        usage_feeds=EventFeeds(TABLES_AT_ONCE, TABLES_OF_CALLER, "make tables of usage"),
        followers=followers,
        event_reader=EventReader(parts),
        event_feeds=EventFeeds(),
        access_events=AccessEvents(parts),
        operator=OperatorActions(parts),
        tickets=Tickets(parts),
        clock=clock,
    )
