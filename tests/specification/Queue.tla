------------------------------- MODULE Queue -------------------------------
(* The queue of one lane, its generations, and how it is rebuilt: one worker is chosen by a compare-and-set in the store, empties the queue,
   restores what may be running, with its slots, and only then sets the generation, without which nobody can claim. What waits follows.

   A builder may freeze between any two of its steps, and wake up after another one has done its work. The launch of an execution is shorter
   than in the module Execution: claim, bind, confirm, activate, end. *)
EXTENDS Integers, FiniteSets

CONSTANTS Workers, Executions, Limit, MaxFaults

VARIABLES
    gen,     \* the generation in the store: its number, and who builds it
    row,     \* each execution in the store: its status and epoch
    queue,   \* the generation in the queue: its number, and who is still making it
    entry,   \* each execution's entry
    slots,   \* the executions that hold a slot of the lane
    active,  \* the executions whose container runs
    started, \* the executions whose service has the mark of its activation
    doubled, \* whether a service with this mark was started
    me,      \* each worker's work on an execution
    build,   \* each worker's rebuild
    losses,  \* how often the queue was lost, or rebuilt once more
    faults

vars == <<gen, row, queue, entry, slots, active, started, doubled, me, build, losses, faults>>

NoOne == "nobody"
Lost == "a lost builder"
NoEntry == [place |-> "absent", owner |-> NoOne, lapsed |-> FALSE]
Waiting == [place |-> "waiting", owner |-> NoOne, lapsed |-> FALSE]
RunOut == [place |-> "leased", owner |-> NoOne, lapsed |-> TRUE]
Idle == [step |-> "idle", one |-> NoOne, epoch |-> 0, resume |-> FALSE]
NoBuild == [step |-> "none", number |-> 0, page |-> {}]
Whole == queue.maker = NoOne /\ queue.number = gen.number

Init ==
    /\ gen = [number |-> 1, builder |-> NoOne]
    /\ row = [e \in Executions |-> [status |-> "enqueued", epoch |-> 0]]
    /\ queue = [number |-> 1, maker |-> NoOne]
    /\ entry = [e \in Executions |-> Waiting]
    /\ slots = {} /\ active = {} /\ started = {} /\ doubled = FALSE
    /\ me = [w \in Workers |-> Idle]
    /\ build = [w \in Workers |-> NoBuild]
    /\ losses = 0
    /\ faults = MaxFaults

Fault == faults > 0 /\ faults' = faults - 1
Queued == <<queue, entry, slots>>
Engine == <<active, started, doubled>>
At(w, step) == me[w].step = step
Go(w, step) == me' = [me EXCEPT ![w].step = step]
Rest(w) == me' = [me EXCEPT ![w] = Idle]
One(w) == me[w].one
\* A lease of another generation is lost, whatever the entry says.
Holds(w) == Whole /\ entry[One(w)].place = "leased" /\ entry[One(w)].owner = w
Owns(w) == row[One(w)].epoch = me[w].epoch

----------------------------------------------------------------------------
\* An execution's way.

\* A worker claims only with a generation that it found to be whole; while it builds, only once it has set it.
\* seam: queue.claim
Claim(w, e) ==
    /\ At(w, "idle") /\ Whole /\ build[w].step \in {"none", "stream", "put"}
    /\ \/ entry[e].place = "leased" /\ entry[e].lapsed /\ UNCHANGED slots
       \/ entry[e].place = "waiting" /\ Cardinality(slots) < Limit /\ slots' = slots \cup {e}
    /\ entry' = [entry EXCEPT ![e] = [place |-> "leased", owner |-> w, lapsed |-> FALSE]]
    /\ me' = [me EXCEPT ![w] = [Idle EXCEPT !.step = "read", !.one = e, !.resume = entry[e].place = "leased"]]
    /\ UNCHANGED <<gen, row, queue, Engine, build, losses, faults>>

\* seam: store.claim, store.take-over
StoreClaim(w) ==
    /\ At(w, "read")
    /\ LET e == One(w) IN
       IF row[e].status = "over" THEN Go(w, "finish") /\ UNCHANGED row
       ELSE IF row[e].status # "enqueued" /\ ~me[w].resume /\ ~Holds(w) THEN Rest(w) /\ UNCHANGED row
       ELSE /\ row' = [row EXCEPT ![e].epoch = @ + 1, ![e].status = IF @ = "enqueued" THEN "pulling" ELSE @]
            /\ me' = [me EXCEPT ![w].epoch = row[e].epoch + 1, ![w].step = IF row[e].status = "bound" THEN "confirm" ELSE "bind"]
    /\ UNCHANGED <<gen, Queued, Engine, build, losses, faults>>

\* seam: store.bind
Bind(w) ==
    /\ At(w, "bind")
    /\ IF Owns(w) THEN row' = [row EXCEPT ![One(w)].status = "bound"] /\ Go(w, "confirm") ELSE UNCHANGED row /\ Rest(w)
    /\ UNCHANGED <<gen, Queued, Engine, build, losses, faults>>

\* seam: queue.renew
Confirm(w) ==
    /\ At(w, "confirm")
    /\ IF Holds(w) THEN Go(w, "activate") /\ entry' = [entry EXCEPT ![One(w)].lapsed = FALSE] ELSE Rest(w) /\ UNCHANGED entry
    /\ UNCHANGED <<gen, row, queue, slots, Engine, build, losses, faults>>

\* seam: engine.activate
Activate(w) ==
    /\ At(w, "activate")
    /\ LET e == One(w) IN
       /\ active' = IF e \in started THEN active ELSE active \cup {e}
       /\ started' = started \cup {e}
       /\ doubled' = (doubled \/ (e \in started /\ active' # active))
    /\ Go(w, "watch")
    /\ UNCHANGED <<gen, row, Queued, build, losses, faults>>

ContainerEnds(e) ==
    /\ e \in active
    /\ active' = active \ {e}
    /\ UNCHANGED <<gen, row, Queued, started, doubled, me, build, losses, faults>>

\* seam: store.end, store.settle
End(w) ==
    /\ At(w, "watch") /\ One(w) \notin active
    /\ IF Owns(w) THEN row' = [row EXCEPT ![One(w)].status = "over"] /\ Go(w, "finish") ELSE UNCHANGED row /\ Rest(w)
    /\ UNCHANGED <<gen, Queued, Engine, build, losses, faults>>

\* seam: queue.finish
Finish(w) ==
    /\ At(w, "finish")
    /\ entry' = [entry EXCEPT ![One(w)] = NoEntry]
    /\ slots' = slots \ {One(w)}
    /\ Rest(w)
    /\ UNCHANGED <<gen, row, queue, Engine, build, losses, faults>>

\* seam: queue.renew
LoseLease(w) ==
    /\ me[w].step \notin {"idle", "finish"} /\ ~Holds(w)
    /\ Rest(w)
    /\ UNCHANGED <<gen, row, Queued, Engine, build, losses, faults>>

Unrenewed(e) == IF entry[e].owner = NoOne THEN TRUE ELSE me[entry[e].owner].one # e
Lapse(e) ==
    /\ entry[e].place = "leased" /\ ~entry[e].lapsed
    /\ IF Unrenewed(e) THEN UNCHANGED faults ELSE Fault
    /\ entry' = [entry EXCEPT ![e].lapsed = TRUE]
    /\ UNCHANGED <<gen, row, queue, slots, Engine, me, build, losses>>

----------------------------------------------------------------------------
\* A rebuild.

Builds(w) == gen.builder = w /\ gen.number = build[w].number
Mine(w) == [number |-> build[w].number, maker |-> w]
Next1(w, step) == build' = [build EXCEPT ![w].step = step]
Leave(w) == build' = [build EXCEPT ![w] = NoBuild]

\* The queue is not the one that the store names, and nobody builds it. A builder that gives no sign of life for 30 s has ended, or is
\* frozen, which is a fault.
\* seam: store.change_generation
Begin(w) ==
    /\ At(w, "idle") \/ build[w].step = "none"
    /\ build[w].step = "none"
    /\ \/ ~Whole /\ gen.builder \in {NoOne, Lost, w} /\ UNCHANGED <<faults, losses>>
       \/ gen.builder = Lost /\ Whole /\ losses' = losses + 1 /\ UNCHANGED faults
       \/ gen.builder \in Workers \ {w} /\ Fault /\ losses' = losses + 1
    /\ LET number == (IF queue.number > gen.number THEN queue.number ELSE gen.number) + 1 IN
       /\ gen' = [number |-> number, builder |-> w]
       /\ build' = [build EXCEPT ![w] = [NoBuild EXCEPT !.step = "wipe", !.number = number]]
    /\ UNCHANGED <<row, Queued, Engine, me>>

\* seam: queue.wipe
Wipe(w) ==
    /\ build[w].step = "wipe"
    /\ queue' = Mine(w)
    /\ entry' = [e \in Executions |-> NoEntry]
    /\ slots' = {}
    /\ Next1(w, "under way")
    /\ UNCHANGED <<gen, row, Engine, me, losses, faults>>

ReadUnderWay(w) ==
    /\ build[w].step = "under way"
    /\ build' = [build EXCEPT ![w].step = "restore", ![w].page = {e \in Executions : row[e].status = "bound"}]
    /\ UNCHANGED <<gen, row, Queued, Engine, me, losses, faults>>

\* seam: queue.restore
Restore(w) ==
    /\ build[w].step = "restore"
    /\ LET back == {e \in build[w].page : entry[e].place # "leased"} IN
       /\ entry' = [e \in Executions |-> IF e \in back THEN RunOut ELSE entry[e]]
       /\ slots' = slots \cup back
    /\ Next1(w, "sign")
    /\ UNCHANGED <<gen, row, queue, Engine, me, losses, faults>>

\* seam: store.change_generation
Sign(w) ==
    /\ build[w].step = "sign"
    /\ IF Builds(w) THEN Next1(w, "set") ELSE Leave(w)
    /\ UNCHANGED <<gen, row, Queued, Engine, me, losses, faults>>

\* seam: queue.set_generation
Set(w) ==
    /\ build[w].step = "set"
    /\ IF queue = Mine(w) THEN queue' = [queue EXCEPT !.maker = NoOne] /\ Next1(w, "stream") ELSE UNCHANGED queue /\ Leave(w)
    /\ UNCHANGED <<gen, row, entry, slots, Engine, me, losses, faults>>

Stream(w) ==
    /\ build[w].step = "stream"
    /\ build' = [build EXCEPT ![w].step = "put", ![w].page = {e \in Executions : row[e].status # "over"}]
    /\ UNCHANGED <<gen, row, Queued, Engine, me, losses, faults>>

\* seam: queue.put
StreamPut(w) ==
    /\ build[w].step = "put"
    /\ entry' = [e \in Executions |-> IF e \in build[w].page /\ entry[e].place = "absent" THEN Waiting ELSE entry[e]]
    /\ Next1(w, "done")
    /\ UNCHANGED <<gen, row, queue, slots, Engine, me, losses, faults>>

\* seam: store.change_generation
Built(w) ==
    /\ build[w].step = "done"
    /\ gen' = IF Builds(w) THEN [gen EXCEPT !.builder = NoOne] ELSE gen
    /\ Leave(w)
    /\ UNCHANGED <<row, Queued, Engine, me, losses, faults>>

----------------------------------------------------------------------------
\* Faults, and the reconciler.

Flush ==
    /\ Fault
    /\ queue' = [number |-> 0, maker |-> Lost]
    /\ entry' = [e \in Executions |-> NoEntry]
    /\ slots' = {}
    /\ losses' = losses + 1
    /\ UNCHANGED <<gen, row, Engine, me, build>>

Crash(w) ==
    /\ Fault
    /\ me[w] # Idle \/ build[w] # NoBuild
    /\ Rest(w) /\ Leave(w)
    /\ gen' = IF gen.builder = w THEN [gen EXCEPT !.builder = Lost] ELSE gen
    /\ queue' = IF queue.maker = w THEN [queue EXCEPT !.maker = Lost] ELSE queue
    /\ entry' = [e \in Executions |-> IF entry[e].owner = w THEN [entry[e] EXCEPT !.owner = NoOne] ELSE entry[e]]
    /\ UNCHANGED <<row, slots, Engine, losses>>

\* A server or the reconciler puts an entry, whatever the generation.
\* seam: queue.put
Requeue(e) ==
    /\ row[e].status # "over" /\ entry[e].place = "absent"
    /\ entry' = [entry EXCEPT ![e] = Waiting]
    /\ UNCHANGED <<gen, row, queue, slots, Engine, me, build, losses, faults>>

----------------------------------------------------------------------------
Work(w) ==
    \/ \E e \in Executions : Claim(w, e)
    \/ StoreClaim(w) \/ Bind(w) \/ Confirm(w) \/ Activate(w) \/ End(w) \/ Finish(w) \/ LoseLease(w)
Building(w) ==
    \/ Wipe(w) \/ ReadUnderWay(w) \/ Restore(w) \/ Sign(w) \/ Set(w) \/ Stream(w) \/ StreamPut(w) \/ Built(w)
Next ==
    \/ \E w \in Workers : Work(w) \/ Begin(w) \/ Building(w) \/ Crash(w)
    \/ \E e \in Executions : Lapse(e) \/ ContainerEnds(e) \/ Requeue(e)
    \/ Flush

Fairness ==
    /\ \A w \in Workers : WF_vars(Work(w)) /\ WF_vars(Building(w)) /\ WF_vars(gen.builder \in {NoOne, Lost, w} /\ Begin(w))
    /\ \A e \in Executions : WF_vars(Unrenewed(e) /\ Lapse(e)) /\ WF_vars(ContainerEnds(e)) /\ WF_vars(Requeue(e))

Spec == Init /\ [][Next]_vars /\ Fairness

----------------------------------------------------------------------------
StartsOnce == ~doubled

OneOwner == \A w, other \in Workers : w # other /\ One(w) = One(other) /\ One(w) # NoOne /\ me[w].epoch > 0 => me[w].epoch # me[other].epoch

HoldsItsSlots == losses = 0 => Cardinality(slots) <= Limit

\* A worker that was frozen before its bind while the queue was lost binds afterwards, and lets go of what it bound. When the queue is lost
\* once more before that execution has a slot, it is restored with one beside those that run.
HoldsItsLimit == losses <= 1 => Cardinality(active) <= Limit

\* Once a rebuild has ended, nothing is missing.
RebuiltIsWhole == Whole /\ gen.builder = NoOne => \A e \in Executions : row[e].status = "over" \/ entry[e].place # "absent"

Over == \A e \in Executions : row[e].status = "over" /\ entry[e].place = "absent" /\ e \notin slots
Ends == <>[](Over /\ Whole)
=============================================================================
