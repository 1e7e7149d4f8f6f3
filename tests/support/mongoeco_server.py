"""``python mongoeco_server.py PORT FILE``: a server of MongoDB's protocol on SQLite, run by the Python of ``.venv-mongo``. It shares no
code with SecantusDB, so what passes on both does not follow a fault of one."""

import asyncio
import sys

from mongoeco.engines.sqlite import SQLiteEngine
from mongoeco.wire.proxy import AsyncMongoEcoProxyServer


async def main(port: int, path: str) -> None:
    """Serves until it is killed."""
    await AsyncMongoEcoProxyServer(engine=SQLiteEngine(path), host="127.0.0.1", port=port).start()
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
