"""The grammar of image references."""

import time

import pytest

from fastlane.models.image import reference_fault

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    "text",
    [
        "ubuntu",
        "ubuntu:latest",
        "library/ubuntu:22.04",
        "user/my_app__x-y.z:V1.0-rc_1",
        "localhost/app",
        "localhost:5000/app:1",
        "registry.example.com:5000/team/deep/app:1.2",
        "Registry.Example.com/app",
        "10.0.0.1:5000/app",
        "[2001:db8::1]:5000/app",
        f"ubuntu@{DIGEST}",
        f"ubuntu:latest@{DIGEST}",
        "a" * 255,
        "ubuntu:" + "x" * 128,
        "a---b",
    ],
)
def test_a_reference(text):
    assert reference_fault(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" ubuntu", "white space"),
        ("ubuntu latest", "white space"),
        ("ubuntu\n", "white space"),
        ("Ubuntu", '"ubuntu"'),
        ("team/App:X", '"team/app:x"'),
        ("https://registry.example.com/app", "https://"),
        ("docker://app", "docker://"),
        ("ubuntu:", "not an image"),
        ("ubuntu:-x", "not an image"),
        ("ubuntu:a:b", "not an image"),
        ("/ubuntu", "not an image"),
        ("ubuntu/", "not an image"),
        ("a//b", "not an image"),
        ("a..b", "not an image"),
        ("-a", "not an image"),
        ("a_", "not an image"),
        ("ünicode", "not an image"),
        ("ubuntu:" + "x" * 129, "not an image"),
        ("ubuntu@latest", "not an image"),
        ("ubuntu@sha256:abc", "not an image"),
        ("ubuntu@sha256:" + "A" * 64, "64 lower-case"),
        ("ubuntu@sha256:" + "a" * 40, "64 lower-case"),
        ("a" * 64, "bare image id"),
        ("a" * 256, "255"),
        ("a" * 10_000, "longer"),
        ("$(reboot)", "not an image"),
    ],
)
def test_the_fault_of_an_invalid_reference_says_why(text, says):
    assert says in reference_fault(text)


@pytest.mark.parametrize("part", ["a.", "a-", "a__", "A", "a/", "1:", "[:", "a@", "a+", "--"])
def test_no_text_takes_long(part):
    before = time.process_time()
    reference_fault((part * 300)[:599] + "!")
    assert time.process_time() - before < 0.5
