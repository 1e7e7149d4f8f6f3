"""What a place of archived logs promises, whether it is a folder or a bucket: what it writes is whole or not there, and one that hangs, is
full, gone or refuses the login is an error in time, which names no key."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest

from fastlane.archive.bucket import HIDDEN, MARK, PART, BucketAccess, LogBucket
from fastlane.archive.folder import LogFolder
from fastlane.errors import ArchiveDamaged, ArchiveDown, FastlaneError
from fastlane.models.log_archive import ArchiveState
from fastlane.storage.archive_port import LogObjects
from fastlane.storage.sqlite.store import SqliteStore
from tests.contract.test_store_archive import Old, pieces_of, readings
from tests.support.bucket import KEY, USER, SwiftServer
from tests.support.clock import FakeClock
from tests.support.waiting import until

NAME = "ab/one.log.gz"
CONTENT = bytes(range(256)) * 3_000


@pytest.fixture(scope="module")
def swift() -> Iterator[SwiftServer]:
    with SwiftServer() as server:
        yield server


def access_to(swift: SwiftServer, bucket: str) -> BucketAccess:
    return BucketAccess(bucket, "logs/", swift.endpoint, "us-east-1", USER, KEY)


@pytest.fixture
def bucket(swift: SwiftServer, request: pytest.FixtureRequest) -> LogBucket:
    name = f"b{abs(hash(request.node.name)):x}"
    made = LogBucket(access_to(swift, name), patience=3.0)
    made._client.make_bucket(bucket_name=name)
    return made


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path) -> LogObjects:
    return LogFolder(tmp_path) if request.param == "folder" else request.getfixturevalue("bucket")


async def put(place: LogObjects, content: bytes = CONTENT, key: str = NAME) -> None:
    await place.put(key, io.BytesIO(content), len(content))


async def test_an_object_is_read_back_whole_and_in_parts(place):
    await place.prepare(is_new=True)
    await put(place)
    assert await place.digest(NAME, len(CONTENT)) == sha256(CONTENT).hexdigest()
    assert await place.read(NAME, 700_000, 1_000) == CONTENT[700_000:701_000]
    assert await place.read(NAME, len(CONTENT) - 5, 5) == CONTENT[-5:]
    with pytest.raises(ArchiveDamaged, match="is shorter than it was"):
        await place.read(NAME, len(CONTENT) - 1, 2)
    await put(place, b"another")
    assert await place.digest(NAME, 7) == sha256(b"another").hexdigest()
    await place.delete(NAME)
    await place.delete(NAME)
    with pytest.raises(ArchiveDamaged, match=r"No such file|NoSuchKey"):
        await place.read(NAME, 0, 1)


async def test_the_mark_is_made_once_and_a_place_without_it_is_not_the_archive(place):
    with pytest.raises(ArchiveDown, match="so it is not the archive that this store has logs in"):
        await place.prepare(is_new=False)
    await place.prepare(is_new=True)
    await place.prepare(is_new=False)
    assert len(await place.read(MARK, 0, 10)) == 10


async def test_an_object_that_is_missing_or_cut_is_told_from_an_archive_that_is(place):
    await place.prepare(is_new=True)
    await put(place)
    for name, start in ((NAME, len(CONTENT) - 1), (NAME, len(CONTENT)), (NAME, len(CONTENT) + 5), ("ab/none", 0)):
        with pytest.raises(ArchiveDamaged):
            await place.read(name, start, 2)
    await place.delete(MARK)
    if isinstance(place, LogBucket):
        place = LogBucket(replace(place._access, bucket="missing"), patience=3.0)
    with pytest.raises(ArchiveDown) as error:
        await place.read("ab/none", 0, 2)
    assert type(error.value) is ArchiveDown


def test_a_bucket_needs_its_extra_and_an_endpoint_that_its_client_takes(monkeypatch):
    access = BucketAccess("bucket", "", "http://localhost:1", "us-east-1", USER, KEY)
    with pytest.raises(FastlaneError, match=r"archive_endpoint https://ec2\.amazonaws\.com is not one that the client takes"):
        LogBucket(replace(access, endpoint="https://ec2.amazonaws.com"))
    monkeypatch.setitem(sys.modules, "minio", None)
    with pytest.raises(FastlaneError, match=re.escape("pip install 'fastlane-swarm[archive]'")):
        LogBucket(access)


async def test_a_large_object_goes_in_parts_and_is_whole(bucket):
    content = bytes(range(251)) * (2 * PART // 251 + 1)
    await put(bucket, content)
    assert await bucket.digest(NAME, len(content)) == sha256(content).hexdigest()
    assert await bucket.read(NAME, PART - 5, 10) == content[PART - 5 : PART + 5]


async def test_a_refused_login_or_a_missing_bucket_is_an_error_that_names_no_key(swift, bucket):
    wrong = LogBucket(replace(bucket._access, secret_key="not-the-secret"), patience=3.0)
    missing = LogBucket(access_to(swift, "missing"), patience=3.0)
    for refused, code in ((wrong, "SignatureDoesNotMatch"), (missing, "NoSuchBucket")):
        for call in (put(refused), refused.read(NAME, 0, 1), refused.digest(NAME, 1)):
            with pytest.raises(ArchiveDown, match=code) as error:
                await call
            assert "not-the-secret" not in str(error.value)
            assert KEY not in str(error.value)
            assert USER not in str(error.value).replace(HIDDEN, "")


async def test_a_server_that_hangs_is_gone_or_comes_back(swift, bucket):
    await put(bucket)
    swift.pause()
    try:
        with pytest.raises(ArchiveDown, match=r"did not answer within|timed out"):
            await bucket.read(NAME, 0, 1)
    finally:
        swift.go_on()
    assert await bucket.read(NAME, 0, 3) == CONTENT[:3]
    swift.kill()
    try:
        with pytest.raises(ArchiveDown, match="the archive s3://"):
            await put(bucket)
    finally:
        swift.start()
    assert await bucket.read(NAME, 0, 3) == CONTENT[:3]


async def test_a_full_server_is_an_error_and_leaves_no_object(swift, bucket):
    await put(bucket, b"small")
    swift.fill(full=True)
    try:
        with pytest.raises(ArchiveDown, match="the archive s3://"):
            await put(bucket, CONTENT, "ab/large")
    finally:
        swift.fill(full=False)

    async def answers() -> bool:  # it leaves a full disk alone for a moment
        with suppress(ArchiveDown, ArchiveDamaged):
            return await bucket.read(NAME, 0, 5) == b"small"
        return False

    await until(answers, "the server to read its disk again")
    with pytest.raises(ArchiveDamaged, match="NoSuchKey"):
        await bucket.read("ab/large", 0, 1)
    await put(bucket, CONTENT, "ab/large")
    assert await bucket.digest("ab/large", len(CONTENT)) == sha256(CONTENT).hexdigest()


async def test_logs_move_to_a_server_that_hangs_is_killed_and_is_full_and_none_is_lost(swift, bucket, tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    try:
        store.log_archive.objects = bucket
        old = Old(store, tmp_path, FakeClock())
        ids = [await old.ended(*pieces_of(seed, 60, 300)) for seed in range(3)]
        before = [await readings(store, id) for id in ids]
        for trouble, end in ((swift.pause, swift.go_on), (swift.kill, swift.start), (full(swift), room(swift))):
            trouble()
            try:
                with pytest.raises(ArchiveDown, match="the archive s3://"):
                    await old.archiver.round()
            finally:
                end()
            assert [await readings(store, id) for id in ids] == before
            assert all([await old.here(id) > 0 for id in ids])

        async def moved() -> bool:
            with suppress(ArchiveDown):
                await old.archiver.round()
            return [await old.state(id) for id in ids] == [ArchiveState.MOVED] * 3

        await until(moved, "all logs to move")
        assert [await old.here(id) for id in ids] == [0, 0, 0]
        assert [await readings(store, id) for id in ids] == before
        names = [one.object_name for one in bucket._client.list_objects(bucket_name=bucket._access.bucket, recursive=True)]
        rows = [await store.log_archive.get(id) for id in ids]
        assert sorted(names) == sorted([f"logs/{MARK}", *(f"logs/{row.key}" for row in rows)])
    finally:
        await store.close()


def full(swift: SwiftServer) -> Callable[[], None]:
    return lambda: swift.fill(full=True)


def room(swift: SwiftServer) -> Callable[[], None]:
    return lambda: swift.fill(full=False)
