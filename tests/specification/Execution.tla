----------------------------- MODULE Execution -----------------------------
(* The way of one execution from its job's acceptance to its removal: claim, park, bind, activate, watch, end, settle, clean.

   A worker takes one step at a time, and any other process may take steps between two of them. So a frozen worker is one that takes no step
   for a while, and its lease may run out at any moment. Faults are counted: MaxFaults of them happen in a behaviour at most.

   The store's row is the truth; every write of it is a compare-and-set whose condition comes from Rules, which is made from
   fastlane/models/transitions.py. The queue's entry is a hint. The engine's service is real: what it starts cannot be taken back.

   Above each action stand the seams that it models, by their names in docs/internals/seams.md. *)
EXTENDS Integers, FiniteSets, Rules

CONSTANTS Workers, MaxFaults, WithStop

VARIABLES
    job,     \* whether it is stopped; FALSE as well while it does not exist
    row,     \* the execution in the store
    entry,   \* its entry in the queue
    cold,    \* whether the queue lost its data and is not rebuilt
    service, \* for each epoch, the state of the service that was parked under it
    starts,  \* for each epoch, how often that service was started
    me,      \* what each worker knows, and its next step
    create,  \* the next step of the API call that accepts the job
    stop,    \* the next step of the API call that stops it
    faults,  \* how many faults may still happen
    stale    \* whether a worker wrote under an old epoch

vars == <<job, row, entry, cold, service, starts, me, create, stop, faults, stale>>

Epochs == 1..(MaxFaults + 2)
NoOne == "nobody"
Idle == [step |-> "idle", epoch |-> 0, seen |-> [status |-> "absent", epoch |-> 0, bound |-> 0, stop |-> FALSE], resume |-> FALSE, looked |-> "none"]
NoEntry == [place |-> "absent", owner |-> NoOne, lapsed |-> FALSE]
Waiting == [place |-> "waiting", owner |-> NoOne, lapsed |-> FALSE]
RunOut == [place |-> "leased", owner |-> NoOne, lapsed |-> TRUE]
Gone == {"none", "removed"}

Init ==
    /\ job = FALSE
    /\ row = [status |-> "absent", epoch |-> 0, bound |-> 0, stop |-> FALSE, settled |-> FALSE, cleaned |-> FALSE]
    /\ entry = NoEntry
    /\ cold = FALSE
    /\ service = [e \in Epochs |-> "none"]
    /\ starts = [e \in Epochs |-> 0]
    /\ me = [w \in Workers |-> Idle]
    /\ create = "store"
    /\ stop = IF WithStop THEN "store" ELSE "never"
    /\ faults = MaxFaults
    /\ stale = FALSE

----------------------------------------------------------------------------
\* Parts of actions.

Known(some) == [status |-> some.status, epoch |-> some.epoch, bound |-> some.bound, stop |-> some.stop]
Go(w, step) == me' = [me EXCEPT ![w].step = step]
Look(w, step) == me' = [me EXCEPT ![w].step = step, ![w].seen = Known(row)]
Rest(w) == me' = [me EXCEPT ![w] = Idle]
Holds(w) == ~cold /\ entry.place = "leased" /\ entry.owner = w
Fault == faults > 0 /\ faults' = faults - 1

Allowed(name, epoch) == Permitted(name, row, epoch)
Write(w, new, step) ==
    /\ row' = new
    /\ stale' = (stale \/ me[w].epoch # row.epoch)
    /\ me' = [me EXCEPT ![w].step = step, ![w].seen = Known(new)]
\* Makes the worker its owner.
Own(w, new) ==
    /\ row' = new
    /\ me' = [me EXCEPT ![w].step = "bounds", ![w].epoch = new.epoch, ![w].seen = Known(new)]
    /\ UNCHANGED stale
Unwritten == UNCHANGED <<row, stale>>

\* What a worker does with a row that it has read anew: it settles a final one, and lets go of one that another worker owns.
After(w) ==
    CASE row.status \in Final -> Look(w, "settle")
      [] row.status = "absent" -> Go(w, "finish")
      [] row.epoch # me[w].epoch -> Rest(w)
      [] OTHER -> Look(w, "step")

Engine == <<service, starts>>
Api == <<job, create, stop>>
At(w, step) == me[w].step = step

----------------------------------------------------------------------------
\* The API.

\* seam: store.create
Create ==
    /\ create = "store"
    /\ row' = [row EXCEPT !.status = "enqueued"]
    /\ create' = "queue"
    /\ UNCHANGED <<job, entry, cold, Engine, me, stop, faults, stale>>

\* seam: queue.put
CreatePut ==
    /\ create = "queue"
    /\ entry' = IF entry.place = "absent" THEN Waiting ELSE entry
    /\ create' = "done"
    /\ UNCHANGED <<job, row, cold, Engine, me, stop, faults, stale>>

\* seam: store.stop_job
StopJob ==
    /\ stop = "store" /\ row.status # "absent"
    /\ job' = TRUE
    /\ stop' = "mark"
    /\ UNCHANGED <<row, entry, cold, Engine, me, create, faults, stale>>

\* seam: store.cancel, store.flag-stop
StopMark ==
    /\ stop = "mark"
    /\ row' = CASE Allowed("cancel", 0) -> [row EXCEPT !.status = "stopped", !.stop = TRUE, !.cleaned = TRUE]
                [] Allowed("flag-stop", 0) -> [row EXCEPT !.stop = TRUE]
                [] OTHER -> row
    /\ stop' = "queue"
    /\ UNCHANGED <<job, entry, cold, Engine, me, create, faults, stale>>

\* seam: queue.cancel
StopCancel ==
    /\ stop = "queue"
    /\ entry' = IF entry.place = "waiting" THEN NoEntry ELSE entry
    /\ stop' = "put"
    /\ UNCHANGED <<job, row, cold, Engine, me, create, faults, stale>>

\* seam: queue.put
StopPut ==
    /\ stop = "put"
    /\ entry' = IF entry.place = "absent" THEN Waiting ELSE entry
    /\ stop' = "done"
    /\ UNCHANGED <<job, row, cold, Engine, me, create, faults, stale>>

ApiDies ==
    /\ Fault
    /\ \/ create = "queue" /\ create' = "done" /\ UNCHANGED stop
       \/ stop \in {"mark", "queue", "put"} /\ stop' = "done" /\ UNCHANGED create
    /\ UNCHANGED <<job, row, entry, cold, Engine, me, stale>>

----------------------------------------------------------------------------
\* A worker: from the queue to the row.

\* seam: queue.claim
Claim(w) ==
    /\ At(w, "idle") /\ ~cold
    /\ entry.place = "waiting" \/ (entry.place = "leased" /\ entry.lapsed)
    /\ entry' = [place |-> "leased", owner |-> w, lapsed |-> FALSE]
    /\ me' = [me EXCEPT ![w] = [Idle EXCEPT !.step = "read", !.resume = entry.place = "leased"]]
    /\ UNCHANGED <<row, cold, Engine, Api, faults, stale>>

\* The answer to a claim is lost: nobody knows of the lease.
\* seam: queue.claim
LoseClaim(w) ==
    /\ At(w, "idle") /\ ~cold /\ Fault
    /\ entry.place = "waiting" \/ (entry.place = "leased" /\ entry.lapsed)
    /\ entry' = [place |-> "leased", owner |-> NoOne, lapsed |-> FALSE]
    /\ UNCHANGED <<row, cold, Engine, Api, me, stale>>

\* Claims the row if it is enqueued; otherwise only reads it.
\* seam: store.claim
StoreClaim(w) ==
    /\ At(w, "read")
    /\ IF Allowed("claim", row.epoch)
       THEN Own(w, [row EXCEPT !.status = "pulling", !.epoch = @ + 1])
       ELSE /\ Unwritten
            /\ CASE row.status = "absent" -> Go(w, "finish")
                 [] row.status \in Final -> Look(w, "settle")
                 [] row.status = "enqueued" -> Rest(w)
                 [] OTHER -> Look(w, IF me[w].resume THEN "take-over" ELSE "confirm-new")
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

\* What was claimed as new, but has started, may have an owner: the lease is asked for once more.
\* seam: queue.renew
ConfirmNew(w) ==
    /\ At(w, "confirm-new")
    /\ IF Holds(w) THEN entry' = [entry EXCEPT !.lapsed = FALSE] /\ Go(w, "take-over")
                   ELSE UNCHANGED entry /\ Rest(w)
    /\ UNCHANGED <<row, cold, Engine, Api, faults, stale>>

\* seam: store.take-over
TakeOver(w) ==
    /\ At(w, "take-over")
    /\ IF Allowed("take-over", me[w].seen.epoch)
       THEN Own(w, [row EXCEPT !.epoch = @ + 1])
       ELSE Unwritten /\ After(w)
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

----------------------------------------------------------------------------
\* A worker: from the row to a container.

\* Decides by the row as the worker knows it. Without a service, the job is read first: a stop that this does not see finds the
\* execution pulling, and flags it.
Step(w) ==
    /\ me[w].step \in {"bounds", "step"}
    /\ LET seen == me[w].seen IN
       CASE seen.bound = 0 /\ seen.stop -> Go(w, "give-up")
         [] seen.bound = 0 /\ job -> Go(w, "mark")
         [] seen.bound = 0 -> Go(w, "park")
         [] seen.status = "pulling" -> Go(w, "confirm")
         [] OTHER -> Go(w, "watch")
    /\ UNCHANGED <<row, entry, cold, Engine, Api, faults, stale>>

\* seam: store.flag-stop
Mark(w) ==
    /\ At(w, "mark")
    /\ IF Allowed("flag-stop", 0)
       THEN row' = [row EXCEPT !.stop = TRUE] /\ UNCHANGED stale /\ Go(w, "reread")
       ELSE Unwritten /\ Go(w, "reread")
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

Reread(w) ==
    /\ At(w, "reread")
    /\ After(w)
    /\ UNCHANGED <<row, entry, cold, Engine, Api, faults, stale>>

\* seam: store.give-up
GiveUp(w) ==
    /\ At(w, "give-up")
    /\ IF Allowed("give-up", me[w].epoch)
       THEN Write(w, [row EXCEPT !.status = "stopped", !.cleaned = TRUE], "settle")
       ELSE Unwritten /\ After(w)
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

\* The service has 0 replicas, and its name has the epoch: a name conflict is the worker's own service.
\* seam: engine.park
Park(w) ==
    /\ At(w, "park")
    /\ service' = [service EXCEPT ![me[w].epoch] = IF @ \in Gone THEN "parked" ELSE @]
    /\ Go(w, "bind")
    /\ UNCHANGED <<row, entry, cold, starts, Api, faults, stale>>

\* seam: store.bind
Bind(w) ==
    /\ At(w, "bind")
    /\ IF Allowed("bind", me[w].epoch)
       THEN Write(w, [row EXCEPT !.bound = me[w].epoch], "step")
       ELSE Unwritten /\ Go(w, "unbound")
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

\* seam: engine.remove
Unbound(w) ==
    /\ At(w, "unbound")
    /\ service' = [service EXCEPT ![me[w].epoch] = IF row.bound # me[w].epoch THEN "removed" ELSE @]
    /\ After(w)
    /\ UNCHANGED <<row, entry, cold, starts, Api, faults, stale>>

\* Before each activation the worker asks for its lease, and reads the row.
\* seam: queue.renew
Confirm(w) ==
    /\ At(w, "confirm")
    /\ IF Holds(w) THEN entry' = [entry EXCEPT !.lapsed = FALSE] /\ Go(w, "fresh")
                   ELSE UNCHANGED entry /\ Rest(w)
    /\ UNCHANGED <<row, cold, Engine, Api, faults, stale>>

Fresh(w) ==
    /\ At(w, "fresh")
    /\ CASE row.status \in Final -> Go(w, "reread")
         [] row.epoch # me[w].epoch -> Rest(w)
         [] OTHER -> Look(w, IF row.stop THEN "watch" ELSE "inspect")
    /\ UNCHANGED <<row, entry, cold, Engine, Api, faults, stale>>

\* seam: engine.inspect
Inspect(w) ==
    /\ At(w, "inspect")
    /\ LET found == service[me[w].seen.bound] IN
       IF found = "parked" THEN me' = [me EXCEPT ![w].looked = found, ![w].step = "activate"] ELSE Go(w, "watch")
    /\ UNCHANGED <<row, entry, cold, Engine, Api, faults, stale>>

\* The update names the version that was inspected: the engine refuses it once the service has changed.
\* seam: engine.activate
Activate(w) ==
    /\ At(w, "activate")
    /\ LET e == me[w].seen.bound IN
       IF service[e] = me[w].looked
       THEN /\ service' = [service EXCEPT ![e] = "active"]
            /\ starts' = [starts EXCEPT ![e] = @ + 1]
            /\ Go(w, "watch")
       ELSE UNCHANGED Engine /\ Go(w, "inspect")
    /\ UNCHANGED <<row, entry, cold, Api, faults, stale>>

----------------------------------------------------------------------------
\* A worker: until the container's end, and what follows it.

\* A look at the row, when a stop is hinted at or 30 s are over, and at the service.
\* seam: engine.inspect
Watch(w) ==
    /\ At(w, "watch")
    /\ LET found == service[me[w].seen.bound] IN
       CASE row.status \in Final \/ row.epoch # me[w].epoch -> After(w)
         [] found = "parked" /\ row.stop -> Look(w, "stop")
         [] found = "parked" -> Go(w, "confirm")
         [] found = "active" /\ row.status = "pulling" -> Look(w, "run")
         [] found = "active" /\ row.stop -> Look(w, "stop")
         [] found \in {"ended", "cut", "halted"} \cup Gone -> me' = [me EXCEPT ![w].step = "end", ![w].looked = found]
         [] OTHER -> FALSE
    /\ UNCHANGED <<row, entry, cold, Engine, Api, faults, stale>>

\* seam: store.run
Run(w) ==
    /\ At(w, "run")
    /\ IF Allowed("run", me[w].epoch)
       THEN Write(w, [row EXCEPT !.status = "running"], "watch")
       ELSE Unwritten /\ After(w)
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

\* A service that has not started never will; a container gets its signal.
\* seam: engine.stop
Stop(w) ==
    /\ At(w, "stop")
    /\ service' = [service EXCEPT ![me[w].seen.bound] = CASE @ = "parked" -> "halted" [] @ = "active" -> "cut" [] OTHER -> @]
    /\ Go(w, "watch")
    /\ UNCHANGED <<row, entry, cold, starts, Api, faults, stale>>

ContainerEnds(e) ==
    /\ service[e] = "active"
    /\ service' = [service EXCEPT ![e] = "ended"]
    /\ UNCHANGED <<row, entry, cold, starts, Api, me, faults, stale>>

\* seam: store.end
End(w) ==
    /\ At(w, "end")
    /\ LET final == CASE me[w].looked = "ended" -> "done" [] me[w].looked \in {"cut", "halted"} -> "stopped" [] OTHER -> "failed" IN
       IF Allowed("end", me[w].epoch)
       THEN Write(w, [row EXCEPT !.status = final], "settle")
       ELSE Unwritten /\ After(w)
    /\ UNCHANGED <<entry, cold, Engine, Api, faults>>

\* seam: store.settle
Settle(w) ==
    /\ At(w, "settle")
    /\ row' = IF Allowed("settle", 0) THEN [row EXCEPT !.settled = TRUE] ELSE row
    /\ Go(w, "finish")
    /\ UNCHANGED <<entry, cold, Engine, Api, faults, stale>>

\* seam: queue.finish
Finish(w) ==
    /\ At(w, "finish")
    /\ entry' = NoEntry
    /\ Rest(w)
    /\ UNCHANGED <<row, cold, Engine, Api, faults, stale>>

----------------------------------------------------------------------------
\* What may happen to a worker at any step.

\* seam: queue.renew
LoseLease(w) ==
    /\ me[w].step # "idle" /\ ~cold /\ ~Holds(w)
    /\ Rest(w)
    /\ UNCHANGED <<row, entry, cold, Engine, Api, faults, stale>>

Crash(w) ==
    /\ me[w].step # "idle" /\ Fault
    /\ Rest(w)
    /\ entry' = IF entry.owner = w THEN [entry EXCEPT !.owner = NoOne] ELSE entry
    /\ UNCHANGED <<row, cold, Engine, Api, stale>>

\* The answer to the last call was lost, or the call failed: the worker begins again from the row. It does not know an epoch whose write
\* was not answered.
LoseAnswer(w) ==
    /\ me[w].step \notin {"idle", "read", "again"} /\ Fault
    /\ IF me[w].epoch = 0 THEN Go(w, "read")
       ELSE \/ Go(w, "reread")
            \/ me[w].step = "bounds" /\ me' = [me EXCEPT ![w].step = "read", ![w].epoch = 0]
    /\ UNCHANGED <<row, entry, cold, Engine, Api, stale>>

\* A worker that is asked to end hands its entry over.
\* seam: queue.release
Release(w) ==
    /\ me[w].step # "idle" /\ Holds(w) /\ Fault
    /\ entry' = RunOut
    /\ Rest(w)
    /\ UNCHANGED <<row, cold, Engine, Api, stale>>

\* A lease that nobody renews runs out by itself: that of a dead worker, or of one that has let go. That of another worker runs out when
\* it is frozen.
Unrenewed == IF entry.owner = NoOne THEN TRUE ELSE me[entry.owner].step = "idle"
Lapse ==
    /\ entry.place = "leased" /\ ~entry.lapsed
    /\ IF Unrenewed THEN UNCHANGED faults ELSE Fault
    /\ entry' = [entry EXCEPT !.lapsed = TRUE]
    /\ UNCHANGED <<row, cold, Engine, Api, me, stale>>

----------------------------------------------------------------------------
\* The queue loses its data, or goes back to an old copy, and is rebuilt. The module Queue has the steps of a rebuild.

Flush ==
    /\ ~cold /\ Fault
    /\ cold' = TRUE
    /\ entry' = NoEntry
    /\ UNCHANGED <<row, Engine, Api, me, stale>>

OldCopy ==
    /\ ~cold /\ row.status # "absent" /\ Fault
    /\ entry' \in {Waiting, RunOut, NoEntry}
    /\ UNCHANGED <<row, cold, Engine, Api, me, stale>>

\* seam: queue.wipe, queue.restore, queue.set_generation, queue.put
Rebuild ==
    /\ cold
    /\ cold' = FALSE
    /\ entry' = CASE row.status \in {"pulling", "running"} /\ row.bound # 0 -> RunOut
                  [] row.status \in {"enqueued", "pulling"} -> Waiting
                  [] OTHER -> NoEntry
    /\ UNCHANGED <<row, Engine, Api, me, faults, stale>>

----------------------------------------------------------------------------
\* The reconciler.

\* seam: queue.put
Requeue ==
    /\ ~cold /\ entry.place = "absent"
    /\ row.status \in {"enqueued", "pulling", "running"} \/ (row.status \in Final /\ ~row.settled)
    /\ entry' = Waiting
    /\ UNCHANGED <<row, cold, Engine, Api, me, faults, stale>>

\* seam: store.flag-stop
PassStopOn ==
    /\ job /\ Allowed("flag-stop", 0)
    /\ row' = [row EXCEPT !.stop = TRUE]
    /\ UNCHANGED <<entry, cold, Engine, Api, me, faults, stale>>

\* seam: engine.remove
RemoveLeftover(e) ==
    /\ service[e] \notin Gone
    /\ (row.bound # 0 /\ row.bound # e) \/ (row.status \in Final /\ row.settled)
    /\ service' = [service EXCEPT ![e] = "removed"]
    /\ UNCHANGED <<row, entry, cold, starts, Api, me, faults, stale>>

\* seam: store.clean
Clean ==
    /\ Allowed("clean", 0) /\ ~row.cleaned
    /\ row.bound = 0 \/ service[row.bound] \in Gone
    /\ row' = [row EXCEPT !.cleaned = TRUE]
    /\ UNCHANGED <<entry, cold, Engine, Api, me, faults, stale>>

----------------------------------------------------------------------------
Work(w) ==
    \/ Claim(w) \/ StoreClaim(w) \/ ConfirmNew(w) \/ TakeOver(w) \/ Step(w) \/ Mark(w) \/ Reread(w) \/ GiveUp(w) \/ Park(w) \/ Bind(w)
    \/ Unbound(w) \/ Confirm(w) \/ Fresh(w) \/ Inspect(w) \/ Activate(w) \/ Watch(w) \/ Run(w) \/ Stop(w) \/ End(w) \/ Settle(w)
    \/ Finish(w) \/ LoseLease(w)
Answer == CreatePut \/ StopMark \/ StopCancel \/ StopPut
Repair == Rebuild \/ Requeue \/ PassStopOn \/ Clean \/ \E e \in Epochs : RemoveLeftover(e)
Trouble == ApiDies \/ Flush \/ OldCopy \/ \E w \in Workers : LoseClaim(w) \/ Crash(w) \/ LoseAnswer(w) \/ Release(w)

Next ==
    \/ Create \/ StopJob \/ Answer \/ Repair \/ Trouble \/ Lapse
    \/ \E e \in Epochs : ContainerEnds(e)
    \/ \E w \in Workers : Work(w)

\* Faults end; everything else that can be done is done at last. A job need not be stopped.
Fairness ==
    /\ WF_vars(Create) /\ WF_vars(Answer) /\ WF_vars(Rebuild) /\ WF_vars(Requeue) /\ WF_vars(PassStopOn) /\ WF_vars(Clean)
    /\ WF_vars(Unrenewed /\ Lapse)
    /\ \A e \in Epochs : WF_vars(RemoveLeftover(e)) /\ WF_vars(ContainerEnds(e))
    /\ \A w \in Workers : WF_vars(Work(w))

Spec == Init /\ [][Next]_vars /\ Fairness

----------------------------------------------------------------------------
\* What must hold in each state.

EpochsSuffice == row.epoch \in {0} \cup Epochs

StartsOnce == \A e \in Epochs : starts[e] <= 1 /\ \A other \in Epochs \ {e} : starts[e] + starts[other] <= 1

StartsOnlyWhatIsBound == \A e \in Epochs : starts[e] > 0 => row.bound = e

KeepsItsService == row.status \in {"pulling", "running"} /\ row.bound # 0 => service[row.bound] \notin Gone

NothingRunsAfterItsEnd == row.status \in Final => \A e \in Epochs : service[e] # "active"

ItsEndIsTrue ==
    /\ row.status = "done" => row.bound # 0 /\ starts[row.bound] = 1
    /\ row.status # "failed"

OldEpochsWriteNothing == ~stale

\* What must hold between two states.

FinalStays == [][row.status \in Final => row'.status = row.status /\ row'.bound = row.bound]_vars
BoundStays == [][row.bound # 0 => row'.bound = row.bound]_vars
StopsBeforeItsService == [][row.bound = 0 /\ row.stop => row'.bound = 0]_vars

\* What must come.

Over == row.settled /\ row.cleaned /\ entry.place = "absent" /\ \A e \in Epochs : service[e] \in Gone
Ends == <>[]Over
=============================================================================
