"""The archive of old logs in a bucket of a server that speaks the S3 protocol. The client, an extra of this package, is imported only here
and only when a bucket is used.

It blocks, so each call is made in a thread, see ``timed_calls``; its sockets have limits of their own as well. It tries nothing again: the
archiver does.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from fastlane.archive.timed_calls import AT_ONCE, BLOCK, PATIENCE, TimedCalls, time_for
from fastlane.errors import ArchiveDamaged, ArchiveDown, FastlaneError

MARK = "fastlane-archive"
"""The object that says that a bucket is an archive."""
PART = 8 * 1024 * 1024
"""Bytes of an upload that are in memory at once; larger objects are sent in parts."""
GONE = frozenset({"NoSuchKey", "NoSuchObject", "NotFound"})
LOST = GONE | {"InvalidRange"}
"""What a server that has the bucket answers where an object, or a part of it, is missing."""
MISSING = "archive_url names a bucket, which needs the extra 'archive', which is not installed: pip install 'fastlane-swarm[archive]'"
HIDDEN = "********"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """A bucket, and how to reach it. ``prefix``: what the names of its objects begin with. ``endpoint``: the URL of its server."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


class LogBucket:
    """The objects in a bucket, which has to exist. ``patience``: seconds. Raises FastlaneError when the client is not installed."""

    def __init__(self, access: BucketAccess, patience: float = PATIENCE) -> None:
        try:
            client: Any = import_module("minio")
            pool: Any = import_module("urllib3")
        except ImportError as error:
            raise FastlaneError(MISSING) from error
        url = urlsplit(access.endpoint)
        timeout = pool.Timeout(connect=patience / 2, read=patience)
        self._access, self._patience, self._calls = access, patience, TimedCalls(AT_ONCE)
        self._failures: tuple[type[Exception], ...] = (client.error.MinioException, pool.exceptions.HTTPError, ValueError, SyntaxError)
        try:
            self._client: Any = client.Minio(
                url.netloc,
                access_key=access.access_key,
                secret_key=access.secret_key,
                secure=url.scheme == "https",
                region=access.region,
                http_client=pool.PoolManager(timeout=timeout, retries=False, maxsize=AT_ONCE),
            )
        except ValueError as error:
            raise FastlaneError(f"archive_endpoint {access.endpoint} is not one that the client takes: {error}") from error

    async def prepare(self, *, is_new: bool) -> None:
        """Looks for the mark, which is made where nothing is archived yet."""

        def look() -> None:
            try:
                self._client.stat_object(**self._object(MARK))
            except self._failures as error:
                if getattr(error, "code", None) not in GONE:
                    raise
                if not is_new:
                    words = f"has no object {MARK}, so it is not the archive that this store has logs in; correct archive_url"
                    raise ArchiveDown(f"{self._name} {words}") from error
                text = b"Logs that fastlane moved here. Do not remove this object.\n"
                self._client.put_object(**self._object(MARK), data=BytesIO(text), length=len(text))

        await self._call(look)

    async def put(self, key: str, content: BinaryIO, size: int) -> None:
        """Uploads an object. A server shows it once it has all of it."""

        def put() -> None:
            content.seek(0)
            self._client.put_object(**self._object(key), data=content, length=size, part_size=PART, num_parallel_uploads=1)

        await self._call(put, size)

    async def digest(self, key: str, size: int) -> str:
        """Downloads a whole object."""

        def digest() -> str:
            found = sha256()
            with closing(self._client.get_object(**self._object(key))) as answer:
                for block in answer.stream(BLOCK):
                    found.update(block)
            return found.hexdigest()

        return await self._call(digest, size)

    async def read(self, key: str, start: int, length: int) -> bytes:
        """Downloads a part of an object."""

        def read() -> bytes:
            with closing(self._client.get_object(**self._object(key), offset=start, length=length)) as answer:
                data = bytes(answer.read(length + 1))
            if len(data) != length:
                raise ArchiveDamaged(f"{key} in {self._name} is shorter than it was; restore it from a backup of the archive")
            return data

        return await self._call(read, length)

    async def delete(self, key: str) -> None:
        """Deletes an object."""

        def delete() -> None:
            try:
                self._client.remove_object(**self._object(key))
            except self._failures as error:
                if getattr(error, "code", None) not in GONE:
                    raise

        await self._call(delete)

    @property
    def _name(self) -> str:
        return f"the archive s3://{self._access.bucket}/{self._access.prefix} at {self._access.endpoint}"

    def _object(self, key: str) -> dict[str, str]:
        return {"bucket_name": self._access.bucket, "object_name": f"{self._access.prefix}{key}"}

    async def _call(self, work: Callable[[], T], size: int = 0) -> T:
        def guarded() -> T:
            try:
                return work()
            except self._failures as error:
                kind = ArchiveDamaged if getattr(error, "code", None) in LOST else ArchiveDown
                raise kind(f"{self._name} failed: {self._words(error)}") from None

        return await self._calls.call(guarded, time_for(size, self._patience), self._name)

    def _words(self, error: Exception) -> str:
        """What went wrong, in the server's words where there are any, without the keys."""
        code, message = getattr(error, "code", None), getattr(error, "message", None)
        text = f"{code}: {message}" if code else f"{type(error).__name__}: {error}"
        for secret in (self._access.secret_key, self._access.access_key):
            text = text.replace(secret, HIDDEN)
        return text[:500]
