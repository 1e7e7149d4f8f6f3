"""Which time zones may be named, and what those are told who name another."""

import os
import subprocess
import sys

import pytest

from fastlane.models.cron import read_timezone, zone, zone_names


def refusal(text: object) -> str:
    """The words by which a zone is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        read_timezone(text)
    return str(caught.value)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "CET", "EST5EDT", "Asia/Kolkata"])
def test_an_iana_name_is_a_zone(name: str) -> None:
    assert read_timezone(name) == name
    assert zone(name).key == name


def test_no_zone_is_utc() -> None:
    assert read_timezone(None) == "UTC"


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("europe/berlin", "write 'Europe/Berlin'"),
        ("Berlin", "write 'Europe/Berlin'"),
        ("new york", "write 'America/New_York'"),
        (" Europe/Berlin ", "write 'Europe/Berlin'"),
        ("Europe/Berln", "'Europe/Berlin'"),
        ("Asia/Calcuta", "'Asia/Calcutta'"),
        ("kathmandu", "write 'Asia/Kathmandu'"),
        ("Mars/Olympus", "write an IANA name"),
        ("", "write an IANA name"),
        ("+02:00", "is an offset"),
        ("UTC+2", "is an offset"),
        ("-0300", "is an offset"),
        ("../../etc/passwd", "write an IANA name"),
        ("/usr/share/zoneinfo/UTC", "write"),
        ("right/Europe/Berlin", "write 'Europe/Berlin'"),
        ("localtime", "write an IANA name"),
        ("Factory", "write an IANA name"),
        ("Europe/Berlin\x00", "write"),
        ("x" * 100_000, "write an IANA name"),
        (7, "is not text; write an IANA name"),
        (True, "is not text"),
    ],
)
def test_another_zone_is_refused_with_the_nearest_names(text: object, instead: str) -> None:
    assert instead in refusal(text)
    assert len(refusal(text)) < 300


def test_every_named_zone_can_be_had() -> None:
    assert len(zone_names()) > 400
    assert {zone(name).key for name in zone_names()} == zone_names()


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc", "", "x\x00y", "America"])
def test_a_stored_zone_that_this_machine_does_not_know_is_told_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="update its tzdata"):
        zone(name)


def test_zones_are_there_on_a_machine_without_zone_files() -> None:
    """As in a slim image: the search path is empty, and the package must do."""
    code = "from fastlane.models.cron import zone, zone_names; print(len(zone_names()), zone('Europe/Berlin').key)"
    asked = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONTZPATH": ""}, capture_output=True, text=True, timeout=60, check=True
    )
    count, name = asked.stdout.split()
    assert int(count) > 400
    assert name == "Europe/Berlin"
