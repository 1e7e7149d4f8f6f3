"""Receipts in answers: the one of an execution, what a check of a job's chain found, and where the chains of a task end."""

from collections.abc import Mapping
from typing import Any

from fastlane.models.receipt import ChainHead, SealFault, SealKind
from fastlane.services.receipts import ChainPage, CheckedPart
from fastlane.web.api import serializer as show
from fastlane.web.api.serializer import Serializer

RECEIPT = Serializer[Mapping[str, Any]](
    "Receipt",
    "The seal of an execution, which proves what its row said when it was sealed. `fastlane verify FILE` checks it with the key alone.",
    version=show.integer(lambda one: one["version"], "The version of this form.", least=1),
    job=show.string(lambda one: one["job"], "The job's id."),
    task=show.string(lambda one: one["task"], "The task's id."),
    number=show.integer(lambda one: one["number"], "Its number in the job's chain, from 1.", least=1),
    previous=show.string(lambda one: one["previous"], "The digest of the seal before it, zeros for the first."),
    kind=show.enum(SealKind, lambda one: one["kind"], "What it is over."),
    row=show.string(lambda one: one["row"], "The execution's id."),
    facts=show.mapping(
        lambda one: one["facts"],
        "What it proves for everyone to read: status, exit code, times in milliseconds since 1970, image and its digest, who asked for it, "
        "the bytes of its log and their SHA-256. `others`: the newest seals of other jobs that it binds, by job: number and signature.",
    ),
    fields=show.mapping(
        lambda one: one["fields"],
        "For each stored field, and for the whole log, a digest of its value by the key: nothing of a secret can be guessed from it.",
    ),
    sealedAt=show.integer(lambda one: one["sealedAt"], "When it was sealed, in milliseconds since 1970."),
    key=show.string(lambda one: one["key"], "Which key signed it."),
    digest=show.string(lambda one: one["digest"], "The SHA-256 of all of this but itself and the signature, as canonical JSON."),
    signature=show.string(lambda one: one["signature"], "The HMAC of the same by the key."),
)

FAULT = Serializer[SealFault](
    "ReceiptFault",
    "Something that is not as it was sealed.",
    where=show.string(lambda fault: fault.where, "The seal, and the row that it is over."),
    what=show.string(lambda fault: fault.what, "What is wrong with it."),
    number=show.integer(lambda fault: fault.number, "The number of the seal; null: a row without one.", null=True),
    row=show.string(lambda fault: fault.row or None, "The execution or the row of the ledger; null: the chain itself.", null=True),
)

CHECK = Serializer[CheckedPart](
    "ReceiptCheck",
    "A part of a check of a job's chain against what is stored.",
    taskId=show.string(lambda part: part.task_id, "The task's id."),
    jobId=show.string(lambda part: part.job_id, "The job's id."),
    seals=show.integer(lambda part: part.seals, "How many seals were compared with their rows."),
    rows=show.integer(lambda part: part.rows, "How many rows were looked at for a seal."),
    removed=show.integer(lambda part: part.removed, "Of how many seals the row is gone, as the chain says that it may be."),
    faults=show.array(FAULT, lambda part: part.faults, "What is wrong."),
    next=show.string(lambda part: part.next, "Send this as `from` to go on; null: that was all.", null=True),
)

CHAIN_HEAD = Serializer[ChainHead](
    "ReceiptChain",
    "Where the chain of a job ends.",
    taskId=show.string(lambda head: head.task_id, "The task's id."),
    jobId=show.string(lambda head: head.id, "The job's id."),
    number=show.integer(lambda head: head.number, "The number of the last seal."),
    digest=show.string(lambda head: head.digest, "The digest of the last seal. Kept elsewhere, it shows later whether the chain was cut."),
)

CHAINS = Serializer[ChainPage](
    "ReceiptChains",
    "Chains of jobs, also of removed ones.",
    items=show.array(CHAIN_HEAD, lambda page: page.heads, "By the job's id."),
    next=show.string(lambda page: page.next, "Send this as `from` to go on; null: that was all.", null=True),
)
