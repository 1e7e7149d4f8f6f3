"""How many keys of MongoDB's indexes each list, count and page walks through, with 1,000 jobs and with 100,000: ``python -m
benchmarks.route_keys`` prints the table of docs/internals/mongodb-figures.md, and with ``--json`` what ``make bench-quick`` compares.

The commands are those of real requests on a server with a few rows. The keys are reckoned, since the tests' server does not say them
(``tests.support.index_walk``).
"""

import json
import tempfile
from pathlib import Path

import click
import uvloop

from benchmarks.stores import MONGO, places
from fastlane import log
from fastlane.storage.mongo.database import Database, read_url
from tests.adapters.mongo.test_route_costs import CALLERS, ROUTES, TOKENS
from tests.adapters.mongo.test_route_keys import FEW, MANY, route_keys
from tests.support.fastlane import Fastlane
from tests.support.index_walk import Walked
from tests.support.recorded_calls import recorded_commands
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The keys of each route by the number of jobs, for each caller.")
def main(as_json: bool) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, places(Path(folder)) as make:
        found = uvloop.run(_keys(Path(folder), redis, make(MONGO).url))
    if as_json:
        keys = {route: [one.rows + one.counts for one in both] for route, both in found.items()}
        groups = {
            f"keys on MongoDB, {jobs:,} jobs": {route: of[place] for route, of in keys.items()} for place, jobs in enumerate((FEW, MANY))
        }
        click.echo(json.dumps(groups))
        return
    sizes = f"{FEW:,} jobs | {MANY:,}"
    click.echo(f"| route | rows: {sizes} | for a user of some tasks: {sizes} | counts: {sizes} |\n{'| --- ' * 7}|")
    for name in ROUTES:
        (few, many), (own_few, own_many) = (found[f"{name}, for {who}"] for who in CALLERS)
        keys = (few.rows, many.rows, own_few.rows, own_many.rows, few.counts, many.counts)
        click.echo(f"| {name} | " + " | ".join(f"{count:,}" for count in keys) + " |")


async def _keys(folder: Path, redis: RealRedis, url: str) -> dict[str, tuple[Walked, Walked]]:
    server, db = Fastlane(folder, redis.url, store_url=url, tokens=TOKENS), Database(read_url(url), PATIENCE)
    log.configure("json", "error")
    db.open()
    with recorded_commands(of_requests=True) as commands:
        await server.__aenter__()
    try:
        return await route_keys(server, commands, db)
    finally:
        await server.__aexit__(None, None, None)
        await db.close()


if __name__ == "__main__":
    main()
