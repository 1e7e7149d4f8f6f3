------------------------------ MODULE Intents ------------------------------
(* Changes of several documents on MongoDB, without a transaction: one write of the job decides, and carries an intent, the list of all other
   documents of the change. Whoever meets the intent inserts them, and takes it off. (storage/mongo/commits.py, storage/mongo/idempotency.py)

   Here a job is created by requests, which may have one and the same Idempotency-Key, run by hand, deleted, and created again. Each commit makes one
   tick and one execution, which have the same name: the job's incarnation and the tick's number. A worker claims executions meanwhile. Any
   process may end or sleep between two calls to the server, and the answer to a commit may be lost. *)
EXTENDS Integers, FiniteSets

CONSTANTS Creators, Runners, Deleters, Helpers, WithKey, MaxFaults

VARIABLES
    job,        \* the job's document, or its tombstone
    ticks,      \* the documents of ticks
    executions, \* those of executions that wait
    taken,      \* those of executions that the worker has claimed
    over,       \* those of executions that have ended
    receipt,    \* the record of the key
    ran,        \* for each name, how often it ran
    made,       \* the commits of creations that were written
    told,       \* the names of what a request was told to be accepted
    me,         \* each process
    worker,     \* the worker's next step
    faults

vars == <<job, ticks, executions, taken, over, receipt, ran, made, told, me, worker, faults>>

Processes == Creators \cup Runners \cup Deleters \cup Helpers
Incarnations == 1..Cardinality(Creators)
Numbers == 1..(Cardinality(Runners) + 1)
Names == Incarnations \X Numbers
NoOp == <<"none", 0>>
NoName == <<0, 0>>
NoIntent == [op |-> NoOp, name |-> NoName, left |-> {}]
NoJob == [kind |-> "absent", rev |-> 0, incarnation |-> 0, number |-> 0, floor |-> 0, ops |-> {}, intent |-> NoIntent]
NoReceipt == [op |-> NoOp, done |-> FALSE]

Init ==
    /\ job = NoJob
    /\ ticks = {} /\ executions = {} /\ taken = {} /\ over = {}
    /\ receipt = NoReceipt
    /\ ran = [name \in Names |-> 0]
    /\ made = {} /\ told = {}
    /\ me = [p \in Processes |-> [step |-> "begin", row |-> NoJob, try |-> 1, ops |-> {}, then |-> "look", found |-> {}]]
    /\ worker = [step |-> "idle", name |-> NoName]
    /\ faults = MaxFaults

Documents == <<ticks, executions, taken, over>>
Marks == <<ran, made, told, worker>>
At(p, step) == me[p].step = step
Fresh(step) == [step |-> step, row |-> NoJob, try |-> 1, ops |-> {}, then |-> "look", found |-> {}]
\* A process that begins or ends knows nothing.
Go(p, step) == me' = [me EXCEPT ![p] = IF step \in {"begin", "done"} THEN Fresh(step) ELSE [@ EXCEPT !.step = step]]
Op(p) == <<p, me[p].try>>
Fault == faults > 0 /\ faults' = faults - 1
Stored(name) == name \in executions \cup taken \cup over

\* Whether an execution belongs to the job as it is: otherwise it never runs.
Belongs(name) == job.kind = "there" /\ job.incarnation = name[1] /\ job.floor < name[2]

----------------------------------------------------------------------------
\* Carrying out an intent that was read with a job, me[p].row, and taking it off. Then the process goes on with me[p].then.

Begin(p) ==
    /\ At(p, "begin")
    /\ p \notin Helpers
    /\ Go(p, "look")
    /\ UNCHANGED <<job, Documents, receipt, Marks, faults>>

\* seam: carry_out
CarryOut(p, part) ==
    /\ At(p, "carry") /\ part \in me[p].row.intent.left
    /\ LET intent == me[p].row.intent IN
       /\ ticks' = IF part = "tick" THEN ticks \cup {intent.name} ELSE ticks
       /\ executions' = IF part = "execution" /\ ~Stored(intent.name) THEN executions \cup {intent.name} ELSE executions
       /\ receipt' = IF part = "record" /\ receipt.op = intent.op THEN [receipt EXCEPT !.done = TRUE] ELSE receipt
       /\ me' = [me EXCEPT ![p].row.intent.left = @ \ {part}]
    /\ UNCHANGED <<job, taken, over, Marks, faults>>

\* The caller of a commit is answered once its intent is carried out.
CarriedOut(p) ==
    /\ At(p, "carry") /\ me[p].row.intent.left = {}
    /\ told' = IF me[p].row.intent.op = Op(p) /\ me[p].row.intent.name # NoName THEN told \cup {me[p].row.intent.name} ELSE told
    /\ Go(p, "clear")
    /\ UNCHANGED <<job, Documents, receipt, ran, made, worker, faults>>

\* seam: clear
Clear(p) ==
    /\ At(p, "clear")
    /\ IF job.intent.op = me[p].row.intent.op
       THEN job' = [job EXCEPT !.intent = NoIntent] /\ Go(p, me[p].then)
       ELSE UNCHANGED job /\ Go(p, "undo")
    /\ UNCHANGED <<Documents, receipt, Marks, faults>>

\* Another process took it off. If its job, or all that the job had until then, was deleted since, what was inserted again goes.
\* seam: _undo_if_late
Undo(p) ==
    /\ At(p, "undo")
    /\ LET row == me[p].row
           name == row.intent.name
           isThere == job.kind = "there" /\ job.incarnation = row.incarnation IN
       IF isThere /\ job.floor < row.number THEN UNCHANGED <<ticks, executions>>
       ELSE ticks' = ticks \ {name} /\ executions' = executions \ {name}
    /\ Go(p, me[p].then)
    /\ UNCHANGED <<job, taken, over, receipt, Marks, faults>>

\* Any process that has the store open, for an intent that was left behind.
\* seam: complete
Help(p) ==
    /\ p \in Helpers /\ At(p, "begin") /\ job.intent.op # NoOp
    /\ me' = [me EXCEPT ![p].step = "carry", ![p].row = job, ![p].then = "begin"]
    /\ UNCHANGED <<job, Documents, receipt, Marks, faults>>

----------------------------------------------------------------------------
\* A commit.

\* Reads the job, whose intent is completed first.
\* seam: current
Look(p) ==
    /\ At(p, "look")
    /\ LET isOwn == job.ops \cap me[p].ops # {}
           isThere == job.kind = "there"
           next == CASE isOwn -> "done"
                     [] p \in Creators /\ WithKey -> IF isThere THEN "refuse" ELSE "reserve"
                     [] p \in Creators -> IF isThere THEN "done" ELSE "write"
                     [] p \in Runners -> IF isThere THEN "write" ELSE "done"
                     [] OTHER -> IF isThere THEN "floor" ELSE "done" IN
       IF job.intent.op # NoOp
       THEN me' = [me EXCEPT ![p].step = "carry", ![p].row = job, ![p].then = "look"]
       ELSE me' = [me EXCEPT ![p] = IF next = "done" THEN Fresh("done") ELSE [@ EXCEPT !.step = next, !.row = job, !.then = "done"]]
    /\ UNCHANGED <<job, Documents, receipt, Marks, faults>>

\* There is a job already: a repeat of a request that had its effect, or a conflict, which gives the key back.
\* seam: release
Refuse(p) ==
    /\ At(p, "refuse")
    /\ receipt' = IF receipt.op \in me[p].ops /\ ~receipt.done THEN NoReceipt ELSE receipt
    /\ Go(p, "done")
    /\ UNCHANGED <<job, Documents, Marks, faults>>

\* seam: reserve
Reserve(p) ==
    /\ At(p, "reserve")
    /\ CASE receipt.op = NoOp -> receipt' = [op |-> Op(p), done |-> FALSE] /\ Go(p, "write")
         [] receipt.done -> UNCHANGED receipt /\ Go(p, "done")
         [] receipt.op \in me[p].ops -> receipt' = [op |-> Op(p), done |-> FALSE] /\ Go(p, "write")
         [] OTHER -> UNCHANGED receipt /\ Go(p, "revoke")
    /\ UNCHANGED <<job, Documents, Marks, faults>>

\* Another request reserved the key: either it had its effect, or it can have none any more. It is left alone for a second: then it has
\* ended, or sleeps, which is a fault.
\* seam: _revoke
Revoke(p) ==
    /\ At(p, "revoke")
    /\ CASE job.intent.op # NoOp -> UNCHANGED <<job, faults>> /\ me' = [me EXCEPT ![p].step = "carry", ![p].row = job, ![p].then = "revoke"]
         [] receipt.op = NoOp \/ receipt.done -> UNCHANGED <<job, faults>> /\ Go(p, "reserve")
         [] receipt.op \in job.ops -> UNCHANGED <<job, faults>> /\ Go(p, "done")
         [] OTHER ->
            /\ IF me[receipt.op[1]].step = "done" THEN UNCHANGED faults ELSE Fault
            /\ job' = IF job.kind = "absent" THEN [NoJob EXCEPT !.kind = "gone", !.rev = 1] ELSE [job EXCEPT !.rev = @ + 1]
            /\ me' = [me EXCEPT ![p].step = "take", ![p].found = {receipt.op}]
    /\ UNCHANGED <<Documents, receipt, Marks>>

\* Takes the key over, if it is still reserved for the request that was revoked. The job has to be read again.
\* seam: reserve
Take(p) ==
    /\ At(p, "take")
    /\ IF receipt.op \in me[p].found /\ ~receipt.done
       THEN receipt' = [op |-> Op(p), done |-> FALSE] /\ Go(p, "write")
       ELSE UNCHANGED receipt /\ Go(p, "reserve")
    /\ UNCHANGED <<job, Documents, Marks, faults>>

\* The one write that decides. Afterwards the process knows the row that it wrote, with its intent.
\* seam: commit_job
Write(p) ==
    /\ At(p, "write")
    /\ LET row == me[p].row
           incarnation == IF p \in Creators THEN row.incarnation + 1 ELSE row.incarnation
           number == IF p \in Creators THEN 1 ELSE row.number + 1
           parts == {"tick", "execution"} \cup (IF p \in Creators /\ WithKey THEN {"record"} ELSE {})
           intent == [op |-> Op(p), name |-> <<incarnation, number>>, left |-> parts]
           new == [kind |-> "there", rev |-> row.rev + 1, incarnation |-> incarnation, number |-> number,
                   floor |-> IF p \in Creators THEN 0 ELSE row.floor, ops |-> row.ops \cup {Op(p)}, intent |-> intent] IN
       IF job.rev = row.rev /\ (p \in Creators \/ job.kind = "there")
       THEN /\ job' = new
            /\ made' = IF p \in Creators THEN made \cup {Op(p)} ELSE made
            /\ me' = [me EXCEPT ![p].step = "carry", ![p].row = new, ![p].then = "done", ![p].ops = @ \cup {Op(p)}]
       ELSE UNCHANGED <<job, made>> /\ me' = [me EXCEPT ![p].step = "look", ![p].ops = @ \cup {Op(p)}, ![p].try = @ + 1]
    /\ UNCHANGED <<Documents, receipt, ran, told, worker, faults>>

\* Whether the commit was written is not known: the process looks again.
LoseAnswer(p) ==
    /\ At(p, "carry") /\ me[p].row.intent.op = Op(p) /\ Fault
    /\ me' = [me EXCEPT ![p].step = "look", ![p].try = @ + 1]
    /\ UNCHANGED <<job, Documents, receipt, Marks>>

----------------------------------------------------------------------------
\* A deletion: it raises the floor, deletes what it read while the job was the same, and then leaves a tombstone.

\* seam: store.delete_job
Floor(p) ==
    /\ At(p, "floor")
    /\ LET row == me[p].row IN
       IF \E name \in executions \cup taken : name[1] = row.incarnation THEN Go(p, "done") /\ UNCHANGED job
       ELSE IF job.kind = "there" /\ job.rev = row.rev
       THEN /\ job' = [job EXCEPT !.floor = job.number, !.rev = @ + 1]
            /\ me' = [me EXCEPT ![p].step = "find", ![p].row = [job EXCEPT !.floor = job.number, !.rev = @ + 1]]
       ELSE Go(p, "look") /\ UNCHANGED job
    /\ UNCHANGED <<Documents, receipt, Marks, faults>>

Find(p) ==
    /\ At(p, "find")
    /\ me' = [me EXCEPT ![p].step = "compare", ![p].found = {name \in ticks \cup over : name[1] = me[p].row.incarnation}]
    /\ UNCHANGED <<job, Documents, receipt, Marks, faults>>

Compare(p) ==
    /\ At(p, "compare")
    /\ Go(p, IF job.rev = me[p].row.rev /\ job.kind = "there" THEN "delete" ELSE "look")
    /\ UNCHANGED <<job, Documents, receipt, Marks, faults>>

Delete(p) ==
    /\ At(p, "delete")
    /\ ticks' = ticks \ me[p].found
    /\ over' = over \ me[p].found
    /\ Go(p, "bury")
    /\ UNCHANGED <<job, executions, taken, receipt, Marks, faults>>

\* seam: commit_job
Bury(p) ==
    /\ At(p, "bury")
    /\ IF job.rev = me[p].row.rev
       THEN /\ job' = [job EXCEPT !.kind = "gone", !.rev = @ + 1, !.floor = 0, !.number = 0, !.ops = {}]
            /\ Go(p, "done")
       ELSE UNCHANGED job /\ Go(p, "look")
    /\ UNCHANGED <<Documents, receipt, Marks, faults>>

----------------------------------------------------------------------------
\* The worker.

\* seam: store.claim
Claim ==
    /\ worker.step = "idle"
    /\ \E name \in executions :
       /\ executions' = executions \ {name}
       /\ taken' = taken \cup {name}
       /\ worker' = [step |-> "bounds", name |-> name]
    /\ UNCHANGED <<job, ticks, over, receipt, ran, made, told, me, faults>>

\* Before it binds a service, it reads the job. What belongs to no job is discarded.
\* seam: whole, store.discard
Run ==
    /\ worker.step = "bounds"
    /\ LET name == worker.name IN
       /\ taken' = taken \ {name}
       /\ IF Belongs(name)
          THEN ran' = [ran EXCEPT ![name] = @ + 1] /\ over' = over \cup {name}
          ELSE UNCHANGED <<ran, over>>
    /\ worker' = [step |-> "idle", name |-> NoName]
    /\ UNCHANGED <<job, ticks, executions, receipt, made, told, me, faults>>

Ends1(p) ==
    /\ me[p].step \notin {"begin", "done"} /\ Fault
    /\ Go(p, IF p \in Helpers THEN "begin" ELSE "done")
    /\ UNCHANGED <<job, Documents, receipt, Marks>>

----------------------------------------------------------------------------
Proceed(p) ==
    \/ \E part \in {"tick", "execution", "record"} : CarryOut(p, part)
    \/ CarriedOut(p) \/ Clear(p) \/ Undo(p) \/ Help(p) \/ Look(p) \/ Refuse(p) \/ Reserve(p) \/ Revoke(p) \/ Take(p) \/ Write(p)
    \/ Floor(p) \/ Find(p) \/ Compare(p) \/ Delete(p) \/ Bury(p)
Next == Claim \/ Run \/ \E p \in Processes : Begin(p) \/ Proceed(p) \/ LoseAnswer(p) \/ Ends1(p)
Fairness == WF_vars(Claim) /\ WF_vars(Run) /\ \A p \in Processes : WF_vars(Begin(p)) /\ WF_vars(Proceed(p))
Spec == Init /\ [][Next]_vars /\ Fairness

----------------------------------------------------------------------------
\* A job that is read without an intent has all that its commits made.
NoHalfCommit ==
    job.kind = "there" /\ job.intent.op = NoOp =>
        \A number \in 1..job.number : number > job.floor => <<job.incarnation, number>> \in ticks /\ Stored(<<job.incarnation, number>>)

\* What a request was told to be accepted is there, or was deleted since.
AcceptedIsThere == \A name \in told : (name \in ticks /\ Stored(name)) \/ ~Belongs(name)

\* Requests with one key have one effect at most.
OneEffect == WithKey => Cardinality(made) <= 1

\* The key is kept with the effect.
EffectIsRecorded == WithKey => \A op \in made : job.intent.op = op \/ (receipt.op = op /\ receipt.done)

ReceiptIsTrue == receipt.done => receipt.op \in made

RunsOnce == \A name \in Names : ran[name] <= 1

\* What was accepted runs, unless its job was deleted.
NothingIsLost == \A name \in Names : (job.kind = "there" /\ name[1] = job.incarnation /\ name[2] <= job.number) ~> (ran[name] = 1 \/ ~Belongs(name))
IntentsEnd == <>[](job.intent.op = NoOp)
=============================================================================
