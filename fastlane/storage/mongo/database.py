"""The calls to MongoDB. This is the one module that knows Motor; the rest of the adapter passes plain documents to it.

A call that fails for a passing reason (a primary that steps down, a cut connection) is repeated until its caller's time is over. Each try
has what is left of that time, so nothing is sent after the caller got its error. A write may be sent twice, and its answer
may be lost. A document therefore carries a nonce of the write that made it (``made``) or changed it (``op``), by which a repeated write is
recognised as the caller's own. The driver itself repeats nothing. Its exceptions become ours, without its words, since those may quote an
address or a value."""

import asyncio
import random
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pymongo
from bson.codec_options import TypeDecoder, TypeRegistry
from bson.errors import BSONError
from bson.int64 import Int64
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import IndexModel, ReplaceOne, ReturnDocument, UpdateMany
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)
from pymongo.uri_parser import parse_uri

from fastlane.errors import FastlaneError, NotUnique, ReadTooLong, StoreDown, StoreRefused
from fastlane.storage.pages import TextBudget

PASSING = frozenset({6, 7, 43, 50, 64, 79, 89, 91, 100, 112, 133, 134, 189, 262, 365, 9001, 10107, 11600, 11602, 13435, 13436})
"""The server's error codes for passing faults: no primary, a network error between its members, a cursor that is gone, a time limit, a
conflict."""
LOGIN = frozenset({13, 18, 8000})
"""The codes for a login that is missing, wrong, or not enough."""

PASSING_ERRORS = (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    WaitQueueTimeoutError,
    WriteConcernError,
)
"""The driver's exceptions for the same. In a call, a fault of its configuration is a name (mongodb+srv) that DNS did not answer."""

DRIVER_ERRORS = (PyMongoError, BSONError, OverflowError, UnicodeError)
"""The exceptions of the driver's calls."""


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed a moment later. A write that failed so may have been made."""
    if isinstance(error, PASSING_ERRORS):
        return True
    return isinstance(error, OperationFailure) and (error.code in PASSING or error.has_error_label("RetryableWriteError"))


def words_for(error: Exception) -> str:
    """The failure in words that quote nothing."""
    if isinstance(error, ServerSelectionTimeoutError):
        return "no primary can be reached"
    if isinstance(error, ConfigurationError):  # in a call; the URL was read before
        return "the servers that its name stands for (mongodb+srv) cannot be looked up"
    if isinstance(error, NotPrimaryError):
        return "its primary has stepped down"
    if isinstance(error, WriteConcernError):
        return "a majority of its members did not confirm a write"
    if isinstance(error, WaitQueueTimeoutError):
        return "all connections to it are taken"
    if isinstance(error, AutoReconnect | ConnectionFailure):
        return "the connection to its primary was cut, or had no answer"
    code = error.code if isinstance(error, OperationFailure) else None
    return f"it answered with error {code}" if code is not None else type(error).__name__


def translated(error: Exception) -> FastlaneError:
    """Our exception for one of the driver."""
    if may_pass(error):
        return StoreDown(f"the store cannot be used: {words_for(error)}")
    if isinstance(error, OperationFailure) and error.code in LOGIN:
        return StoreRefused("the store refuses the login: check the user, the password, authSource and the user's roles")
    if isinstance(error, DocumentTooLarge):
        return FastlaneError("the store refuses this: it is larger than a document of MongoDB may be")
    return FastlaneError(f"the store refuses this: {words_for(error)}")


SRV = "mongodb+srv://"


@dataclass(frozen=True, slots=True)
class MongoUrl:
    """A URL, which may hold a password, and the name of its database."""

    text: str = field(repr=False)
    database: str


def read_url(text: str) -> MongoUrl:
    """The URL of a store. Raises FastlaneError, whose message quotes no part of it."""
    if text.startswith(SRV):  # its hosts are found in DNS, when it is opened
        return _named(text, text.removeprefix(SRV).partition("?")[0].partition("/")[2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            database = parse_uri(text, warn=False)["database"]
    except (PyMongoError, ValueError, UserWarning):
        words = "store_url is not the URL of a MongoDB; write mongodb://USER:PASSWORD@HOST:27017,HOST:27017/DATABASE?replicaSet=NAME"
        raise FastlaneError(f"{words}, with /, :, @ and % in the password as %2F, %3A, %40 and %25") from None
    return _named(text, database)


def _named(text: str, database: str | None) -> MongoUrl:
    if not database:
        raise FastlaneError("store_url names no database; write its name after the hosts, such as mongodb://HOST:27017/fastlane")
    return MongoUrl(text, database)


LONG = 10_000
"""Rows up to which counting takes no noticeable time."""
SHARE = 10
MAX_LENGTHS = 256
"""Lengths that are kept."""

Length = TypeVar("Length")


class Lengths:
    """Keeps the lengths of long lists that one process has counted. To count them, MongoDB walks an index.

    A length of more than ``LONG`` rows is kept for ten times as long as counting took, so that counting takes a tenth of the time at most;
    a shorter one is counted each time."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    async def get(self, key: Hashable, count: Callable[[], Awaitable[Length]], rows: Callable[[Length], int]) -> Length:
        """The result of ``count``, or its recent result for the same key. ``rows``: how many rows that is."""
        began = time.monotonic()
        until, kept = self._kept.get(key, (0.0, None))
        if began < until:
            length: Length = kept
            return length
        counted = await count()
        ended = time.monotonic()
        self._kept.pop(key, None)
        if rows(counted) > LONG:
            self._kept[key] = (ended + SHARE * (ended - began), counted)
        if len(self._kept) > MAX_LENGTHS:
            del self._kept[next(iter(self._kept))]
        return counted


Document = dict[str, Any]
Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]
Answer = TypeVar("Answer")

LIST_ADVICE = "ask for less: one task, a status, a later since; or walk by nextUrl instead of by page numbers"
HEARTBEAT = 2
"""Seconds between two questions who the primary is. After an error that says that it is not, the driver waits for the next one."""
FAREWELL = 2.0
"""Seconds that the end of the connections may take."""
MAX_CALLS = 4096
"""Calls that may wait or run at once."""
PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds between two tries of a call; they grow."""
DUPLICATE = 11000
"""The server's error code for an id that there is already."""
BATCH = 16
"""Documents that a walk fetches at once."""
WHOLE = 100_000
"""Documents that any other read asks for at once. Unless it is asked, a server's first answer has 101."""
IN_TIME = 0.98
"""The part of a call's time in which a command must be sent and answered. An abandoned thread would otherwise send a write after the caller
got its error."""

_TROUBLES: ContextVar[list[str]] = ContextVar("troubles")
"""The failures of the present ``call``'s tries, in words; unset outside of a call."""
_END: ContextVar[float] = ContextVar("end")
"""When the last try of the present ``call`` ends, by the event loop's clock; unset outside of a call."""


class PlainIntegers(TypeDecoder):
    """Reads integers as Python's own. The driver gives 64-bit integers a type of its own, which Redis's client does not take."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        """The integer."""
        return int(value)


class Database:
    """The connections to one database. A call ends within ``deadline`` seconds, with StoreDown if it must."""

    def __init__(self, url: MongoUrl, deadline: float) -> None:
        self._url = url
        self._deadline = deadline
        self._client: AsyncIOMotorClient[Document] | None = None
        self._calls = 0
        self._joined: dict[Hashable, asyncio.Task[Any]] = {}
        self._reading: set[asyncio.Task[Any]] = set()
        self.lengths = Lengths()
        self.counted: int | None = None
        """The last batch of stored counts that this process knows to be done."""

    def open(self) -> None:
        """Prepares to connect; connects at the first call."""
        self._client = AsyncIOMotorClient(
            self._url.text,
            timeoutMS=int(self._deadline * 1000),
            connectTimeoutMS=int(self._deadline * 1000),
            serverSelectionTimeoutMS=int(self._deadline * 1000),  # for its last message when it closes
            heartbeatFrequencyMS=HEARTBEAT * 1000,
            retryWrites=False,
            retryReads=False,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            appname="fastlane",
            tz_aware=True,
            type_registry=TypeRegistry([PlainIntegers()]),
        )

    async def close(self) -> None:
        """Closes all connections. In a thread, since the driver takes leave of the server, which may not answer."""
        client, self._client = self._client, None
        if client is not None:
            closing = asyncio.ensure_future(asyncio.to_thread(client.close))
            await asyncio.wait({closing}, timeout=FAREWELL)

    async def call(self, work: Callable[[], Awaitable[Answer]], deadline: float | None = None, advice: str = "") -> Answer:
        """The result of ``work``, within the deadline. ``advice`` is for the caller of a read that takes too long."""
        if self._calls >= MAX_CALLS:
            raise StoreDown(f"{MAX_CALLS} operations wait for the store already")
        seconds = deadline or self._deadline
        self._calls += 1
        troubles: list[str] = []
        _TROUBLES.set(troubles)
        end = _END.set(asyncio.get_running_loop().time() + IN_TIME * seconds)
        try:
            async with asyncio.timeout(seconds):
                return await work()
        except TimeoutError:
            words = f"the store did not answer within {seconds:g} s"
            if troubles or not advice:
                raise StoreDown(": ".join([words, *troubles[-1:]])) from None
            raise ReadTooLong(f"{words}; {advice}") from None
        finally:
            _END.reset(end)
            self._calls -= 1

    # reads

    async def joined(self, key: Hashable, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """The result of a read that is the same for all who ask for it in one turn of the event loop. It begins when they have asked, so
        each sees what was written before."""

        async def begin() -> Answer:
            del self._joined[key]
            return await read()

        task: asyncio.Task[Answer] | None = self._joined.get(key)
        if task is None:
            task = self._joined[key] = asyncio.create_task(begin(), name="joined read")
            self._reading.add(task)
            task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._reading.discard(task)
        if not task.cancelled():
            task.exception()  # all who asked may have gone

    async def one(self, collection: str, id: str, fields: Sequence[str] | None = None) -> Document | None:
        """The document with this id."""
        found: Document | None = (await self._repeated(lambda: self._of(collection).find_one({"_id": id}, _projection(fields))))[0]
        return found

    async def with_ids(
        self, collection: str, ids: Sequence[str], fields: Sequence[str] | None = None, *, bounded: bool = False
    ) -> dict[str, Document]:
        """The documents with these ids, by id. ``bounded``: raises Invalid when their specs are too large to hold."""
        if not ids:
            return {}
        asked = {"_id": {"$in": list(ids)}}
        found = await self._listed(lambda: self._of(collection).find(asked, _projection(fields), batch_size=WHOLE), bounded=bounded)
        return {document["_id"]: document for document in found}

    async def find(
        self,
        collection: str,
        filter: Filter,
        index: str,
        *,
        sort: Sort = (),
        skip: int = 0,
        limit: int = 0,
        fields: Sequence[str] | None = None,
    ) -> list[Document]:
        """The documents that match, by this index."""
        options: dict[str, Any] = {"sort": list(sort) or None, "skip": skip, "limit": limit, "hint": index, "batch_size": WHOLE}
        return await self._listed(lambda: self._of(collection).find(filter, _projection(fields), **options))

    async def walk(
        self,
        collection: str,
        filter: Filter,
        index: str,
        sort: Sort,
        *,
        skip: int = 0,
        limit: int = 0,
        fields: Sequence[str] | None = None,
    ) -> AsyncGenerator[Document]:
        """The documents that match, in an order in which each has its own place: ``BATCH`` at a time, or ``limit`` at once. The reader may
        leave whenever it has enough. After a passing fault the walk continues behind the last one."""
        batch = limit or BATCH
        fields = None if fields is None else (*fields, *(name for name, _ in sort))
        cursor: Any = None
        last: Document | None = None
        left = limit

        async def fetch() -> list[Document]:
            nonlocal cursor
            if cursor is None:
                options: dict[str, Any] = {"sort": list(sort), "hint": index, "batch_size": batch, "limit": left}
                options |= {"skip": skip} if last is None else {}
                cursor = self._of(collection).find(filter if last is None else behind(filter, sort, last), _projection(fields), **options)
            try:
                return list(await cursor.to_list(batch))
            except BaseException:
                cursor = None  # not closed: a thread may still read from it, and ends it
                raise

        try:
            while found := (await self._repeated(fetch))[0]:
                for last in found:
                    yield last
                left -= len(found) if limit else 0
                if limit and not left:
                    return
        finally:
            if cursor is not None:
                await cursor.close()

    async def count(self, collection: str, filter: Filter, index: str) -> int:
        """How many documents match, by this index."""
        counted = await self._repeated(lambda: self._of(collection).count_documents(filter, hint=index))
        return int(counted[0])

    async def size(self, collection: str) -> int:
        """About how many bytes all documents of a collection take, as the server counts them all the time."""
        found, _ = await self._repeated(lambda: self._database().command({"collStats": collection}))
        return int(found["size"])

    async def group(self, collection: str, pipeline: Sequence[Mapping[str, Any]], index: str) -> list[Document]:
        """The result of a pipeline of stages over the documents, by this index."""
        return await self._listed(lambda: self._of(collection).aggregate(list(pipeline), hint=index, batchSize=WHOLE))

    # writes

    async def insert(self, collection: str, document: Document) -> bool:
        """Inserts a document; False when another than this one (its ``made`` tells) has its id already. Only what a majority has counts:
        while one that has the id is on its way there, the insert is repeated."""
        pause = PAUSE
        while True:
            try:
                await self._repeated(lambda: self._of(collection).insert_one(document))
            except DuplicateKeyError as error:
                if (stored := await self.one(collection, document["_id"], ("made",))) is not None:
                    return bool(stored.get("made") == document["made"])
                if not _is_of_id(error):
                    raise _taken() from error
            else:
                return True
            pause = await _paused(pause)

    async def insert_missing(self, collection: str, documents: Sequence[Document]) -> None:
        """Inserts the documents whose ids no document has yet."""
        if not documents:
            return

        async def act() -> None:
            try:
                await self._of(collection).insert_many(documents, ordered=False)
            except BulkWriteError as error:
                details = error.details or {}
                others = [one for one in details.get("writeErrors", ()) if one.get("code") != DUPLICATE]
                if others or details.get("writeConcernErrors"):
                    raise AutoReconnect("some were not inserted") from error

        await self._repeated(act)

    async def update(
        self, collection: str, id: str, condition: Filter, change: Mapping[str, Any], is_mine: Callable[[Document], bool] = lambda _: False
    ) -> bool:
        """Changes the document with this id where the condition holds. ``is_mine`` recognises this change in a document when the answer to
        an earlier try was lost."""
        answer, repeated = await self._of_free_keys(lambda: self._of(collection).update_one({"_id": id, **condition}, change))
        return answer.matched_count == 1 or (repeated and await self._is_mine(collection, id, is_mine))

    async def change(
        self, collection: str, id: str, condition: Filter, change: Mapping[str, Any], fields: Sequence[str]
    ) -> Document | None:
        """Changes the document with this id where the condition holds, and returns these fields of it as they are after that. None where it
        does not hold, and perhaps when the answer to an earlier try was lost."""

        async def act() -> Any:
            return await self._of(collection).find_one_and_update(
                {"_id": id, **condition}, change, _projection(fields), return_document=ReturnDocument.AFTER
            )

        found: Document | None = (await self._repeated(act))[0]
        return found

    async def update_all(self, collection: str, ids: Sequence[str], change: Mapping[str, Any]) -> None:
        """Changes the documents with these ids; the change must be one that may be made twice."""
        await self._repeated(lambda: self._of(collection).update_many({"_id": {"$in": list(ids)}}, change))

    async def write_each(self, collection: str, writes: Sequence[UpdateMany | ReplaceOne[Document]]) -> int:
        """Makes these writes in any order, in one command; each must be one that may be made twice. Returns how many documents met their
        conditions. When it is fewer than expected, which of them did is to be read: the answer to an earlier try may have been lost."""
        if not writes:
            return 0
        answer, _ = await self._repeated(lambda: self._of(collection).bulk_write(list(writes), ordered=False))
        return int(answer.matched_count)

    async def replace(
        self, collection: str, id: str, condition: Filter, document: Document, is_mine: Callable[[Document], bool] = lambda _: False
    ) -> bool:
        """Replaces the document with this id where the condition holds; otherwise as ``update``."""
        answer, repeated = await self._of_free_keys(lambda: self._of(collection).replace_one({"_id": id, **condition}, document))
        return answer.matched_count == 1 or (repeated and await self._is_mine(collection, id, is_mine))

    async def upsert(self, collection: str, id: str, change: Mapping[str, Any]) -> bool:
        """Changes the document with this id, or makes it; whether it was made."""
        while True:
            try:
                answer, _ = await self._repeated(lambda: self._of(collection).update_one({"_id": id}, change, upsert=True))
            except DuplicateKeyError:  # another one made it at the same time
                continue
            return answer.upserted_id is not None

    async def delete(self, collection: str, filter: Filter) -> int:
        """Deletes what matches: documents by their ids, since a filter without them would need an index. Returns how many; a try whose
        answer was lost does not count."""
        answer, _ = await self._repeated(lambda: self._of(collection).delete_many(filter))
        return int(answer.deleted_count)

    async def make_indexes(self, collection: str, indexes: Sequence[IndexModel]) -> None:
        """Makes the indexes that the collection does not have yet, once a majority has them: otherwise a server waits for all members, and
        an upgrade for one that is down. A server that is alone, or not MongoDB's own, may refuse that."""

        async def make(**options: str) -> None:
            await self._repeated(lambda: self._of(collection).create_indexes(list(indexes), **options))

        try:
            await make(commitQuorum="majority")
        except StoreDown:
            raise
        except FastlaneError:
            await make()

    def _of(self, collection: str) -> Any:
        return self._database()[collection]

    def _database(self) -> Any:
        if self._client is None:
            raise StoreDown("the store is closed")
        return self._client[self._url.database]

    async def _listed(self, cursor: Callable[[], Any], *, bounded: bool = False) -> list[Document]:
        async def read_bounded() -> list[Document]:
            rows, budget = list[Document](), TextBudget()
            async for row in cursor():
                budget.spend(row.get("spec", ""))
                rows.append(row)
            return rows

        found, _ = await self._repeated(read_bounded if bounded else lambda: cursor().to_list(None))
        return list(found)

    async def _of_free_keys(self, act: Callable[[], Awaitable[Any]]) -> tuple[Any, bool]:
        """As ``_repeated``. Raises NotUnique when another document has what only one may have."""
        try:
            return await self._repeated(act)
        except DuplicateKeyError as error:
            raise _taken() from error

    async def _is_mine(self, collection: str, id: str, is_mine: Callable[[Document], bool]) -> bool:
        stored = await self.one(collection, id)
        return stored is not None and is_mine(stored)

    async def _repeated(self, act: Callable[[], Awaitable[Any]]) -> tuple[Any, bool]:
        """What ``act`` returns, and whether an earlier try failed, which may have been made all the same."""
        pause, repeated = PAUSE, False
        while True:
            try:
                with pymongo.timeout(_time_left()):
                    return await act(), repeated
            except DuplicateKeyError:
                raise
            except InvalidOperation as error:
                raise StoreDown("the store is closed") from error
            except DRIVER_ERRORS as error:
                if not may_pass(error):
                    raise translated(error) from error
                if not isinstance(error, ExecutionTimeout | NetworkTimeout):  # the time is over, which the call says itself
                    _TROUBLES.get([]).append(words_for(error))
            repeated = True
            pause = await _paused(pause)


def _is_of_id(error: DuplicateKeyError) -> bool:
    """Whether it was the document's id that another one has, and no other unique key."""
    return "_id" in ((error.details or {}).get("keyPattern") or {"_id": 1})


def _taken() -> NotUnique:
    return NotUnique("another row of the store has the key of this one")


def _time_left() -> float | None:
    """Seconds that the present call has for another try; None outside of a call. Raises TimeoutError when there are none."""
    if (end := _END.get(None)) is None:
        return None
    if (left := end - asyncio.get_running_loop().time()) <= 0:
        raise TimeoutError
    return left


async def _paused(seconds: float) -> float:
    """Waits about as long before the next try; the pause after that."""
    await asyncio.sleep(random.uniform(seconds / 2, seconds))
    return min(2 * seconds, LONGEST_PAUSE)


def behind(filter: Filter, sort: Sort, last: Mapping[str, Any]) -> Filter:
    """The documents that match behind this one in the order of ``sort``. A walk along the index begins at the range of the first field."""
    ways: list[Filter] = []
    for place, (name, direction) in enumerate(sort):
        same = {other: last[other] for other, _ in sort[:place]}
        ways.append({**same, name: {"$gt" if direction > 0 else "$lt": last[name]}})
    first, direction = sort[0]
    return {"$and": [filter, {first: {"$gte" if direction > 0 else "$lte": last[first]}}, {"$or": ways}]}


def _projection(fields: Sequence[str] | None) -> Mapping[str, int] | None:
    return None if fields is None else dict.fromkeys(fields, 1)


class KeyedLock:
    """A lock for each key. A key has one only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Waits for the lock of a key, and holds it until the context ends."""
        lock, waiting = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[key]
            if waiting == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, waiting - 1)
