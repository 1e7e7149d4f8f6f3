"""The queue in plain Python, as its port describes it: rows, each with its place. The real one's answers are held against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastlane.queue.port import TICKS, Cancelled, Claim, Entry, Lane, LaneCounts, Lease, Renewal

MINUTE = 60_000


@dataclass
class Row:
    """An entry and where it stands. ``when``: its due time when timed, its score when ready or blocked, its deadline when leased."""

    entry: Entry
    arrival: int
    place: str = ""
    when: int = 0
    owner: str = ""
    slot: bool = False
    stop: bool = False
    stop_given: bool = False
    ended: bool = False
    pending: Entry | None = None
    in_line: bool = False

    @property
    def task(self) -> str:
        return self.entry.task or self.entry.group

    @property
    def rank(self) -> tuple[int, int]:
        return self.when, self.arrival


class Model:
    """Every verb of the port that scripts do, for one installation that began empty."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.arrivals = 0
        self.turn = 0
        self.served: dict[str, dict[str, float]] = {}
        self._touched: set[tuple[str, str]] = set()

    def put(self, entries: Sequence[Entry], now: int) -> int:
        absent = 0
        for entry in entries:
            row = self.rows.get(entry.id)
            absent += row is None
            if row is not None and row.place == "leased":
                if entry.revision > (row.pending or row.entry).revision:
                    row.pending = entry
            elif row is None or entry.revision > row.entry.revision:
                if row is not None:
                    self._displace(row)
                self.arrivals += 1
                self.rows[entry.id] = Row(entry, self.arrivals)
                self._place(self.rows[entry.id], entry.due, now)
        self._unblock()
        return absent

    def claim(self, owner: str, lanes: Sequence[Lane], count: int, watch: Sequence[str], lease: int, now: int, ahead: int = 0) -> Claim:
        limits = {name: 0 for name in watch} | {lane.name: lane.limit for lane in lanes}
        self.turn += 1
        first = self.turn % max(1, len(limits))
        names = [*limits][first:] + [*limits][:first]
        served = [name for name in names if name in {lane.name for lane in lanes}]
        fair = {lane.name for lane in lanes if lane.fair}
        given: list[Lease] = []
        for row in self._in("leased"):
            row.when = min(row.when, now + 2 * lease)
        for row in self._in("leased"):
            if row.when <= now and len(given) < count:
                given.append(self._lend(row, owner, now + lease, resume=True))
        self._end_late(names, -(-(count - len(given)) // 2), given, owner, now + lease, now)
        for row in self._in("timed"):
            if row.entry.lane in served and row.when <= now:
                row.place, row.when = "ready", row.when - row.entry.priority * MINUTE
        for name in served:
            if name not in fair and any(row.in_line for row in self._in("ready", name)):
                self.served.pop(name, None)
            for row in self._in("ready", name):
                row.in_line = name in fair
        while len(given) < count and any([self._serve(name, limits[name], count, given, owner, now + lease, now) for name in served]):
            pass
        self._end_late(names, count - len(given), given, owner, now + lease, now)
        soon = [row for row in self._in("timed", TICKS) if TICKS in served and row.when <= now + ahead]
        for row in sorted(soon, key=lambda row: (row.when, row.entry.id))[: count - len(given)]:
            due = row.when
            given.append(replace(self._lend(row, owner, now + lease), due=due))
        return Claim(tuple(given), self._next_at(names, {name: limits[name] for name in served}, now, ahead // 2), now)

    def renew(self, owner: str, ids: Sequence[str], lease: int, now: int) -> Mapping[str, Renewal]:
        answer = {}
        for id in ids:
            row = self.rows.get(id)
            if row is None or row.place != "leased" or row.owner != owner:
                answer[id] = Renewal.LOST
            else:
                row.when = now + lease
                answer[id] = Renewal.STOP if row.stop else Renewal.OK
        return answer

    def release(self, owner: str, ids: Sequence[str], now: int) -> None:
        for id in ids:
            row = self.rows.get(id)
            if row is not None and row.place == "leased" and row.owner == owner:
                row.owner, row.when = "", now

    def requeue(self, owner: str, id: str, due: int, lane: str | None, now: int, strict: bool = False) -> None:
        row = self.rows.get(id)
        if row is None or row.place != "leased" or row.owner != owner:
            return
        self._unlease(row)
        if row.pending is not None:
            self._renew_entry(row, now)
        else:
            row.entry, row.owner = replace(row.entry, lane=lane or row.entry.lane), ""
            if strict and row.entry.expires is not None:
                row.entry = replace(row.entry, expires=max(row.entry.expires, due))
            self._place(row, now if row.stop and not row.stop_given and not strict else due, now)
        self._unblock()

    def cancel(self, id: str) -> Cancelled:
        row = self.rows.get(id)
        if row is None:
            return Cancelled.ABSENT
        if row.place == "leased":
            row.stop, row.stop_given, row.pending = True, False, None
            return Cancelled.NOTIFIED
        self._displace(row)
        del self.rows[id]
        self._unblock()
        return Cancelled.REMOVED

    def finish(self, ids: Mapping[str, int], now: int) -> None:
        for id, revision in ids.items():
            row = self.rows.get(id)
            if row is None or row.entry.revision > revision:
                continue
            if row.place == "leased":
                self._unlease(row)
            else:
                self._displace(row)
            if row.pending is not None and row.pending.revision > revision:
                self._renew_entry(row, now)
            else:
                del self.rows[id]
        self._unblock()

    def restore(self, entries: Sequence[Entry], slotless: set[str], now: int) -> None:
        for entry in entries:
            row = self.rows.get(entry.id)
            if row is not None and row.place == "leased":
                continue
            revision = entry.revision
            if row is not None:
                self._displace(row)
                revision = max(revision, row.entry.revision)
            self.arrivals += 1
            slot = entry.lane not in slotless
            self.rows[entry.id] = Row(replace(entry, revision=revision), self.arrivals, "leased", now, slot=slot)
        self._unblock()

    def counts(self, lanes: Sequence[str]) -> Mapping[str, LaneCounts]:
        def count(lane: str, place: str) -> int:
            return sum(row.place == place and row.entry.lane == lane for row in self.rows.values())

        return {lane: LaneCounts(count(lane, "ready"), count(lane, "timed"), self._slots(lane), count(lane, "blocked")) for lane in lanes}

    def oldest_waiting(self, lanes: Sequence[str], now: int) -> Mapping[str, int]:
        def due(row: Row) -> int:
            return row.when + row.entry.priority * MINUTE if row.place == "ready" else row.when

        def oldest(lane: str) -> int:
            return min((due(row) for place in ("ready", "timed") for row in self._in(place, lane)), default=now)

        return {lane: max(0, now - oldest(lane)) for lane in lanes}

    def contents(self) -> set[tuple[object, ...]]:
        """Where every entry stands, and who holds what."""
        found: set[tuple[object, ...]] = set()
        for id, row in self.rows.items():
            found.add((row.place, "" if row.place == "leased" else row.entry.lane, id, row.when))
            if row.place != "leased" and row.entry.expires is not None:
                found.add(("expires", row.entry.lane, id, row.entry.expires))
            if row.slot:
                found.add(("slot", row.entry.lane, id))
                found |= {("member", row.entry.group, id)} if row.entry.group else set()
            if row.in_line:
                found |= {("in line", row.entry.lane, id), ("line", row.entry.lane, row.task, row.when, id)}
        for lane in {row.entry.lane for row in self.rows.values()}:
            found |= {("waits since", lane, task, since) for task, since in self._since(lane).items()}
        return found

    def leased(self) -> list[Row]:
        """Those that are leased."""
        return self._in("leased")

    def blocked(self) -> list[tuple[str, str, int, str]]:
        """The group, lane, score and id of the blocked ones, in the order of their groups, lanes and ranks."""
        rows = sorted(self._in("blocked"), key=lambda row: (row.entry.group, row.entry.lane, row.rank))
        return [(row.entry.group, row.entry.lane, row.when, row.entry.id) for row in rows]

    def stuck(self) -> list[str]:
        """Blocked entries that nothing would ever unblock: nobody of the group holds a slot, and none stands in ready before them."""
        return [
            row.entry.id
            for row in self._in("blocked")
            if not self._holding(row.entry.group)
            and not any(other.entry.group == row.entry.group for other in self._in("ready", row.entry.lane))
        ]

    def _in(self, place: str, lane: str | None = None) -> list[Row]:
        rows = [row for row in self.rows.values() if row.place == place and lane in (None, row.entry.lane)]
        rows.sort(key=lambda row: row.entry.id if place == "leased" else f"{row.arrival:012}")
        return sorted(rows, key=lambda row: row.when)

    def _best(self, lane: str) -> Row | None:
        waiting = self._since(lane)
        if waiting:
            turn = min(waiting, key=lambda task: (waiting[task], task))
            return next(row for row in self._in("ready", lane) if row.in_line and row.task == turn)
        return next(iter(self._in("ready", lane)), None)

    def _since(self, lane: str) -> dict[str, float]:
        """From when on the first entry in line of each task waits, less its priority."""
        found: dict[str, float] = {}
        for row in self._in("ready", lane):
            if row.in_line and row.task not in found:
                ahead, turn = row.entry.priority * MINUTE, self.served.get(lane, {}).get(row.task, 0)
                found[row.task] = max(row.when + ahead, turn) - ahead
        return found

    def _slots(self, lane: str) -> int:
        return sum(row.slot and row.entry.lane == lane for row in self.rows.values())

    def _holding(self, group: str) -> int:
        return sum(row.slot and row.entry.group == group for row in self.rows.values())

    def _place(self, row: Row, due: int, now: int) -> None:
        if due <= now:
            row.place, row.when = "ready", due - row.entry.priority * MINUTE
        else:
            row.place, row.when = "timed", due

    def _displace(self, row: Row) -> None:
        if row.place != "timed":
            self._touched.add((row.entry.group, row.entry.lane))
        row.place, row.in_line = "", False

    def _unlease(self, row: Row) -> None:
        if row.slot:
            self._touched |= {(row.entry.group, other.entry.lane) for other in self._in("blocked")}
        row.place, row.slot, row.ended = "", False, False

    def _renew_entry(self, row: Row, now: int) -> None:
        assert row.pending is not None
        self.arrivals += 1
        row.entry, row.pending, row.arrival, row.owner, row.stop = row.pending, None, self.arrivals, "", False
        self._place(row, row.entry.due, now)

    def _unblock(self) -> None:
        """Those that may go now: the first ones of a group in a lane, as if they took slots, until one would be refused."""
        for group, lane in self._touched:
            held = self._holding(group)
            for row in [row for row in self._in("blocked", lane) if row.entry.group == group]:
                if 0 < row.entry.concurrency <= held:
                    break
                row.place = "ready"
                held += 1
        self._touched = set()

    def _lend(self, row: Row, owner: str, deadline: int, *, resume: bool = False, slot: bool = False, ended: bool = False) -> Lease:
        row.place, row.when, row.owner, row.stop_given, row.in_line = "leased", deadline, owner, row.stop, False
        if not resume:
            row.slot, row.ended = slot, ended
        entry = row.entry
        return Lease(entry.id, entry.kind, entry.lane, entry.revision, resume, row.stop, row.ended)

    def _expiring(self, lane: str) -> list[Row]:
        rows = [row for row in self.rows.values() if row.place != "leased" and row.entry.lane == lane and row.entry.expires is not None]
        return sorted(rows, key=lambda row: (row.entry.expires or 0, row.entry.id))

    def _end_late(self, lanes: Sequence[str], most: int, given: list[Lease], owner: str, deadline: int, now: int) -> None:
        for lane in lanes:
            late = [row for row in self._expiring(lane) if (row.entry.expires or 0) <= now]
            for row in late[: max(0, most)]:
                self._displace(row)
                given.append(self._lend(row, owner, deadline, ended=True))
                most -= 1
        self._unblock()

    def _serve(self, lane: str, limit: int | None, count: int, given: list[Lease], owner: str, deadline: int, now: int) -> bool:
        """Leases the best of the lane that may go, putting those before it aside; whether there was one."""
        if len(given) >= count or (limit is not None and self._slots(lane) >= limit):
            return False
        while row := self._best(lane):
            late = row.entry.expires is not None and row.entry.expires <= now
            if limit is not None and not late and 0 < row.entry.concurrency <= self._holding(row.entry.group) and row.entry.group:
                row.place, row.in_line = "blocked", False
                continue
            if row.in_line and not late:
                turns = self.served.setdefault(lane, {})
                turns[row.task] = max(now, max(turns.values(), default=0)) + 1 / 1024
            self._touched.add((row.entry.group, lane))
            given.append(self._lend(row, owner, deadline, slot=limit is not None and not late, ended=late))
            return True
        return False

    def _next_at(self, lanes: Sequence[str], served: Mapping[str, int | None], now: int, earlier: int) -> int | None:
        moments = [row.when for row in self._in("leased")]
        for lane in lanes:
            moments += [
                row.entry.expires
                for row in self.rows.values()
                if row.place != "leased" and row.entry.lane == lane and row.entry.expires is not None
            ]
        for lane, limit in served.items():
            moments += [row.when - (earlier if lane == TICKS else 0) for row in self._in("timed", lane)]
            if self._in("ready", lane) and (limit is None or self._slots(lane) < limit):
                moments.append(now)
        return max(now, min(moments)) if moments else None
