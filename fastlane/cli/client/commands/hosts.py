"""The commands ``fastlane hosts``: the Docker hosts that a server knows."""

from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, ForgivingGroup, connect
from fastlane.cli.client.output import Column, ListLayout, OutputForm, echo, form_options, show


def _state(row: Any) -> str:
    if row["blacklisted"]:
        return "drained"
    return "usable" if row["available"] else "unusable"


HOSTS = ListLayout(
    (
        Column("HOST", lambda row: row["address"], name=True),
        Column("STATE", _state, status=True),
        Column("POOLS", lambda row: ", ".join(row["pools"]), yields=5),
        Column("RUNNING", lambda row: f"{row['running']}{'/' + str(row['maxRunning']) if row['maxRunning'] else ''}", yields=1),
        Column("WEIGHT", lambda row: row["weight"], yields=7),
        Column("FROM", lambda row: "registered" if row["registered"] else "settings", yields=6),
        Column("ID", lambda row: row["id"], yields=4),
        Column("ERROR", lambda row: row["error"] or "", yields=9),
    ),
    lambda row: str(row["address"]),
)
HOST = click.argument("host", metavar="HOST")


@click.group(cls=ForgivingGroup)
def hosts() -> None:
    """The Docker hosts: from the settings, and registered ones. HOST is an address, or an id where several have that address.

    \b
    Examples:
      fastlane hosts list
      fastlane hosts add 10.0.0.7:2375 --pool default
      fastlane hosts drain 10.0.0.7:2375
    """


@hosts.command("list", cls=ClientCommand)
@form_options
@CONTEXT
def list_hosts(context: str | None, **form: Any) -> None:
    """Lists the hosts: whether they can be used, what runs there, and where they come from.

    \b
    Examples:
      fastlane hosts list
      fastlane hosts list --format '{address} {running}'
    """
    with connect(context) as client:
        show(HOSTS, client.server.hosts(), OutputForm(**form))


@hosts.command(cls=ClientCommand)
@click.argument("address")
@click.option("--pool", required=True, metavar="POOL", help="The pool that it joins.")
@click.option("--weight", type=int, metavar="NUMBER", help="How much of the pool's work it gets, beside the others.")
@click.option("--max-running", type=int, metavar="NUMBER", help="How many executions may run there at once.")
@CONTEXT
def add(address: str, pool: str, weight: int | None, max_running: int | None, context: str | None) -> None:
    """Registers a host in a pool. Its credentials come from the server's settings.

    \b
    Examples:
      fastlane hosts add 10.0.0.7:2375 --pool default
      fastlane hosts add 10.0.0.8:2375 --pool default --weight 2 --max-running 5
    """
    with connect(context) as client:
        made = client.server.register_host(address, pool, weight=weight, max_running=max_running)
        echo(f"{made['address']}: registered in {', '.join(made['pools'])}, id {made['id']}")


@hosts.command(cls=ClientCommand)
@HOST
@CONTEXT
def drain(host: str, context: str | None) -> None:
    """Gives a host no new work. What runs there goes on.

    \b
    Example:
      fastlane hosts drain 10.0.0.7:2375
    """
    with connect(context) as client:
        echo(f"{client.server.drain_host(host)['host']}: drained; what runs there goes on")


@hosts.command(cls=ClientCommand)
@HOST
@CONTEXT
def undrain(host: str, context: str | None) -> None:
    """Gives a drained host work again.

    \b
    Example:
      fastlane hosts undrain 10.0.0.7:2375
    """
    with connect(context) as client:
        echo(f"{client.server.undrain_host(host)['host']}: gets work again")


@hosts.command(cls=ClientCommand)
@HOST
@click.option("--force", is_flag=True, help="With all that is left there: it ends as host-lost, though it may still run.")
@CONTEXT
def rm(host: str, force: bool, context: str | None) -> None:
    """Removes a registered host that is drained and has nothing left.

    \b
    Examples:
      fastlane hosts rm 10.0.0.7:2375
      fastlane hosts rm --force 10.0.0.8:2375
    """
    with connect(context) as client:
        removed = client.server.remove_host(host, force=force)
        lost = f"; {removed['lost']} executions are lost" if removed["lost"] else ""
        echo(f"{removed['address']}: removed{lost}")
