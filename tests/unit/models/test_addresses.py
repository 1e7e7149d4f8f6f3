"""Which addresses a webhook may be sent to, in each form in which an address can be written."""

from ipaddress import ip_address

import pytest

from fastlane.models.notify import literal_address, may_post

PUBLIC = (
    "93.184.216.34",
    "2606:2800:220:1::1",
    "::ffff:93.184.216.34",
    "64:ff9b::5db8:d822",
    "2002:5db8:d822::1",
    "::93.184.216.34",
    "2606:2800:220:1:0:5efe:93.184.216.34",
)
INTERNAL = (
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255"),
    *("224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "64:ff9b:1::1"),
    *("168.63.129.16", "::ffff:168.63.129.16", "fec0::1", "fec0:0:0:ffff::1", "3fff::1", "5f00::1", "100::1", "4000::1"),
    *("::127.0.0.1", "::10.0.0.1", "::a9fe:a9fe", "::ffff:0:10.0.0.1", "::ffff:0:a9fe:a9fe", "2002:a83f:8110::1"),
    *("2606:2800:220:1:0:5efe:10.0.0.1", "2606:2800:220:1:200:5efe:a9fe:a9fe", "fe80::5efe:10.0.0.1"),
    *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:0:5db8:d822:0:0:80ff:fffe"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert may_post(address, ())


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_not(address: str) -> None:
    assert not may_post(address, ())
    assert not may_post(address, ("10.9.0.0/16", "fd99::/16"))


def test_what_the_setting_lists_is_allowed_however_it_is_written() -> None:
    allowed = ("10.1.0.0/16", "::1")
    assert may_post("10.1.2.3", allowed)
    assert may_post("::ffff:10.1.2.3", allowed)
    assert may_post("64:ff9b::a01:203", allowed)
    assert may_post("::1", allowed)
    assert not may_post("10.2.0.1", allowed)
    assert may_post("93.184.216.34", allowed)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://example.com/127.0.0.1", None),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://127.1/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://0x7f000001/", "127.0.0.1"),
        ("http://0177.0.0.1/", "127.0.0.1"),
        ("http://[::1]/", "::1"),
        ("http://[::FFFF:10.0.0.1]/", str(ip_address("::ffff:10.0.0.1"))),
        ("http://user:pass@10.0.0.1/", "10.0.0.1"),
        ("http://10.0.0.1.example.com/", None),
    ],
)
def test_the_address_that_a_url_has_in_place_of_a_name(url: str, address: str | None) -> None:
    assert literal_address(url) == address
