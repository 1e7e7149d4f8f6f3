"""The table of cases: for each scenario the points whose seams it passes; each seam once with a kill and once with a freeze."""

from collections.abc import Iterator, Mapping

from tests.crash import (
    again,
    api_and_reconciler as others,
    archives,
    backfills,
    chains as links,
    deletions,
    everywhere,
    failing,
    hosts_and_pools,
    labels,
    mails,
    overlaps,
    owners,
    receipts,
    uniqueness,
    webhooks,
)
from tests.crash.scenarios import (
    Case,
    Covered,
    Expired,
    ExpiredMeanwhile,
    HandedOver,
    Later,
    Missing,
    OtherLane,
    Rebuilt,
    Retried,
    Scenario,
    StoppedBetween,
    StoppedFirst,
    StoppedMeanwhile,
    StoppedWhileRunning,
    TakenOver,
    UnservedLane,
)
from tests.support.seams import NAMES as NAMES, Trip

SCENARIOS: Mapping[str, type[Scenario]] = {
    "now": Scenario,
    "woken-early": owners.WokenEarly,
    "later": Later,
    "stopped-while-running": StoppedWhileRunning,
    "stopped-first": StoppedFirst,
    "covered": Covered,
    "stopped-meanwhile": StoppedMeanwhile,
    "stopped-between": StoppedBetween,
    "missing-image": Missing,
    "retried": Retried,
    "expired": Expired,
    "expired-meanwhile": ExpiredMeanwhile,
    "other-lane": OtherLane,
    "unserved-lane": UnservedLane,
    "queued": overlaps.Queued,
    "replaced": overlaps.Replaced,
    "told": webhooks.Told,
    "mailed": mails.Mailed,
    "told-without-queue": webhooks.ToldWithoutQueue,
    "late": webhooks.Late,
    "recovered": webhooks.Recovered,
    "recovered-without-queue": webhooks.RecoveredWithoutQueue,
    "deleted": deletions.Deleted,
    "overtaken": owners.Overtaken,
    "overtaken-by-a-stop": owners.OvertakenByAStop,
    "overtaken-without-image": owners.OvertakenWithoutImage,
    "overtaken-without-host": owners.OvertakenWithoutHost,
    "taken-over": TakenOver,
    "rebuilt": Rebuilt,
    "handed-over": HandedOver,
    "posted": others.Posted,
    "posted-later": others.PostedLater,
    "posted-again": others.PostedAgain,
    "put-again": others.PutAgain,
    "stop": others.Stop,
    "stop-first": others.StopFirst,
    "stop-later": others.StopLater,
    "ended-by-hand": others.EndedByHand,
    "unqueued": others.Unqueued,
    "unqueued-later": others.UnqueuedLater,
    "left-behind": others.LeftBehind,
    "unsettled": others.Unsettled,
    "removed-host": hosts_and_pools.Removed,
    "lost-with-host": hosts_and_pools.LostWithHost,
    "reloaded": hosts_and_pools.Reloaded,
    "hung-up": hosts_and_pools.HungUp,
    "declared": labels.Declared,
    "redeclared": labels.Redeclared,
    "given-up": labels.GivenUp,
    "chained": links.Chained,
    "key-taken": uniqueness.KeyTaken,
    "backfilled": backfills.Backfilled,
    "paused": failing.Paused,
    "fixed": failing.Fixed,
    "started": failing.Started,
    "retried-again": again.RetriedAgain,
    "backfill-stopped": again.BackfillStopped,
    "sealed": receipts.Sealed,
    "skipped": again.Skipped,
    "on-all-nodes": everywhere.OnAllNodes,
    "archived": archives.Archived,
}

STARTING = "queue.claim > store.claim > engine.resolve > engine.park > store.bind > queue.renew > engine.activate"
WATCHING = ("engine.inspect > store.run", "engine.logs > store.append", "engine.logs 2", "store.append 2")
ENDING = ("store.end", "queue.finish", "engine.remove > store.clean")

POINTS: Mapping[str, tuple[str, ...]] = {
    "now": (STARTING, *WATCHING, *ENDING),
    "woken-early": (
        "store.claim > engine.resolve > engine.park > store.bind",
        "queue.renew > engine.activate",
        "engine.inspect",
        "store.run",
        "engine.logs > store.append",
    ),
    "later": ("queue.claim > store.advance > queue.put", "queue.finish", "store.claim"),
    "stopped-while-running": ("engine.stop", "engine.inspect 2", *ENDING),
    "stopped-first": ("queue.claim", "store.close_tick > store.settle > queue.finish"),
    "covered": ("store.claim > store.flag-stop > store.give-up",),
    "stopped-meanwhile": (STARTING,),
    "stopped-between": (STARTING, "engine.inspect > store.run"),
    "missing-image": ("engine.resolve > store.give-up > store.settle > queue.finish",),
    "retried": ("store.insert > queue.put > store.settle > queue.finish", "store.clean"),
    "expired": ("store.expire > store.close_tick > store.settle",),
    "expired-meanwhile": ("queue.claim > store.claim", "store.bind > queue.renew"),
    "other-lane": ("queue.requeue", "queue.claim 2"),
    "unserved-lane": ("queue.adopt",),
    "queued": ("queue.requeue", "store.release > queue.put > queue.finish"),
    "replaced": ("store.flag-stop > queue.cancel", "engine.stop"),
    "told": (
        "store.end > store.insert_deliveries > store.settle",
        "store.write_delivery",
        "store.write_delivery 2",
        "queue.finish",
    ),
    "mailed": ("store.insert_deliveries", "store.write_delivery", "store.write_mail_quota", "store.write_delivery 2"),
    "told-without-queue": ("store.end > store.insert_deliveries", "store.write_delivery", "store.write_delivery 2"),
    "late": ("store.advance > store.insert_deliveries > store.advance 2", "store.write_delivery", "store.write_delivery 2"),
    "recovered": (
        "store.end > store.insert_deliveries > store.advance",
        "store.settle",
        "store.write_delivery",
        "store.write_delivery 2",
    ),
    "recovered-without-queue": ("store.insert_deliveries > store.advance",),
    "deleted": ("store.discard",),
    "taken-over": ("queue.claim", "store.take-over > store.re-place", "engine.park > store.bind"),
    "rebuilt": ("store.change_generation > queue.wipe > queue.restore", "queue.set_generation", "queue.claim 2", "store.take-over"),
    "handed-over": ("queue.release",),
    "posted": ("store.create > queue.put",),
    "posted-later": ("store.create > queue.put",),
    "posted-again": ("store.create > queue.put",),
    "put-again": ("store.create > queue.put",),
    "stop": ("store.stop_job > store.flag-stop > queue.cancel",),
    "stop-first": ("store.stop_job > store.cancel > queue.cancel > queue.put",),
    "stop-later": ("store.stop_job > queue.cancel",),
    "ended-by-hand": ("store.end-by-hand",),
    "unqueued": ("queue.put", "engine.services"),
    "unqueued-later": ("queue.put",),
    "removed-host": ("store.write_host",),
    "lost-with-host": ("store.end", "store.clean"),
    "reloaded": ("store.record_pools",),
    "hung-up": ("store.record_pools 2",),
    "declared": ("store.create",),
    "redeclared": ("store.advance",),
    "given-up": ("store.advance",),
    "chained": ("store.end > store.advance > queue.put > store.settle",),
    "key-taken": ("store.take_unique_key > store.create 2",),
    "backfilled": ("store.advance > store.write", "store.write 5"),
    "paused": (
        "store.end > store.advance > store.insert_deliveries > queue.cancel > store.insert_deliveries 2",
        "store.settle",
    ),
    "fixed": ("store.end > store.advance > store.insert_deliveries > store.settle", "store.write_delivery"),
    "started": ("store.insert_deliveries", "store.run", "store.write_delivery"),
    "retried-again": ("store.advance", "queue.put"),
    "backfill-stopped": ("store.write", "store.advance", "store.cancel"),
    "skipped": ("store.advance",),
    "sealed": ("store.append_seal", "store.append_seal 2 > store.write_head", "store.write_place"),
    "archived": ("store.write_archived", "store.write_archived 2 > store.clear_archived > store.write_archived 3"),
    "on-all-nodes": ("store.plan", "store.change_tick", "store.plan 2", "store.end", "store.stand-for", "store.settle"),
}
"""Where the processes of a scenario fall, in the order in which they come to it; a number is the passage. ``A > B``: no call comes between
the two (journals show it), so that a process which falls before B leaves what one leaves that falls after A."""

READS = frozenset({"engine.resolve", "engine.inspect", "engine.logs", "engine.services"})
"""Calls that change nothing: a process that falls after one leaves what it would leave before it."""

CHAINS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "now": (
        ("after store.claim", "before store.take-over"),
        ("after store.claim", "after store.take-over"),
        ("after engine.park", "after engine.park"),
        ("after engine.park", "before store.bind"),
        ("after store.bind", "before engine.activate"),
        ("after engine.activate", "after engine.activate"),
        ("before engine.activate", "after engine.activate"),
        ("after store.run", "after store.take-over"),
        ("before store.append", "after store.append"),
        ("before store.end", "before store.end"),
        ("after store.end", "before queue.finish"),
    ),
    "woken-early": (
        ("after store.claim", "before store.take-over"),
        ("after engine.activate", "before store.take-over"),
        ("after engine.activate", "after store.take-over"),
    ),
    "overtaken": tuple((f"before {point}", f"before {point}") for point in ("store.bind", "store.run", "store.end")),
    "overtaken-by-a-stop": (("before engine.activate", "after engine.stop"), ("after queue.renew", "after engine.stop")),
    "overtaken-without-image": (("before store.give-up", "before store.give-up"),),
    "overtaken-without-host": (
        ("before store.take-over", "after store.take-over"),
        ("before store.re-place", "before store.re-place"),
    ),
    "left-behind": (
        ("after engine.park", "before engine.remove"),
        ("after engine.park", "after engine.remove"),
        ("after store.end", "after store.clean"),
        ("before engine.remove", "before engine.remove"),
        ("before engine.remove", "after engine.remove"),
        ("before engine.remove", "before store.clean"),
        ("before engine.remove", "after store.clean"),
    ),
    "unsettled": (
        ("after store.give-up", "before queue.put"),
        ("after store.give-up", "after queue.put"),
        ("after store.give-up", "after store.settle"),
    ),
}
"""Where a first owner falls, and where the second one does."""

QUICK = frozenset(
    {
        "now,-kill-before-store.claim",
        "now,-kill-after-engine.park",
        "now,-stop-before-store.bind",
        "woken-early,-stop-before-engine.activate",
        "now,-kill-after-engine.activate",
        "now,-stop-before-store.append",
        "now,-stop-before-store.end",
        "now,-kill-after-store.end",
        "missing-image,-kill-after-store.settle",
        "now,-kill-after-queue.finish",
        "now,-kill-after-store.claim-then-after-store.take-over",
        "later,-kill-after-store.advance",
        "stopped-while-running,-kill-before-engine.stop",
        "stopped-meanwhile,-stop-before-engine.activate",
        "missing-image,-kill-before-store.give-up",
        "rebuilt,-kill-after-queue.wipe",
        "retried,-kill-after-store.insert",
        "queued,-kill-before-store.release",
        "told,-kill-before-store.insert_deliveries",
        "told,-kill-before-store.write_delivery#2",
        "mailed,-kill-after-store.write_mail_quota",
        "late,-kill-after-store.advance",
        "recovered,-kill-after-store.insert_deliveries",
        "expired-meanwhile,-stop-after-queue.renew",
        "handed-over,-kill-after-queue.release",
        "posted,-kill-after-store.create",
        "stop,-kill-after-store.stop_job",
        "removed-host,-kill-after-store.write_host",
        "reloaded,-kill-after-store.record_pools",
        "redeclared,-kill-after-store.advance",
        "chained,-kill-after-store.advance",
        "key-taken,-stop-after-store.take_unique_key",
        "backfilled,-kill-after-store.advance",
        "sealed,-kill-after-store.append_seal",
        "sealed,-stop-before-store.append_seal#2",
        "paused,-kill-after-store.end",
        "paused,-kill-after-store.advance",
        "fixed,-stop-before-store.insert_deliveries",
        "started,-kill-after-store.insert_deliveries",
        "archived,-kill-after-store.write_archived",
        "archived,-stop-before-store.write_archived#2",
        "archived,-kill-after-store.clear_archived",
        "on-all-nodes,-kill-after-store.plan",
        "on-all-nodes,-kill-after-store.stand-for",
    }
)
"""One of each kind of seam: these run in ``make test``, and all in ``make test-crash``."""


def cases() -> Iterator[Case]:
    """All cases. A seam at which an earlier scenario has this fall is repeated where its process leaves what it leaves one seam earlier,
    and by a kill where the freeze shows more."""
    seen: set[tuple[str, str]] = set()
    for signal in ("KILL", "STOP"):
        for scenario, points in POINTS.items():
            made = SCENARIOS[scenario]
            for row in points if signal in made.signals else ():
                for seam, passage, same in seams(row):
                    repeated = (seam, signal) in seen and (same or (signal == "KILL" and freezes_show_more(made)))
                    seen.add((seam, signal))
                    yield Case(scenario, made, (Trip(seam, signal, passage),), repeated)
        for scenario, chains in CHAINS.items():
            for chain in chains if signal in SCENARIOS[scenario].signals else ():
                yield Case(scenario, SCENARIOS[scenario], tuple(Trip(seam, signal) for seam in chain))


def freezes_show_more(scenario: type[Scenario]) -> bool:
    """Whether all that follows a kill also follows a freeze, which then wakes up. After a kill, the next owner of some scenarios gets no
    help from a reconciler, and the client of an API gets no answer."""
    return "STOP" in scenario.signals and scenario.repairs == Scenario.repairs and not issubclass(scenario, others.Request)


def seams(row: str) -> Iterator[tuple[str, int, bool]]:
    """The seams of one row of ``POINTS``, their passages, and whether a process that falls there leaves what it leaves one seam earlier."""
    for number, point in enumerate(row.split(" > ")):
        name, _, passage = point.partition(" ")
        # Claims that give nothing come at any time; before a later one is where the write that precedes it was done.
        if (name, passage) != ("queue.claim", "2"):
            yield f"before {name}", int(passage or 1), number > 0
        yield f"after {name}", int(passage or 1), name in READS
