"""How the options of a container are read: in one form only, whatever they were written in."""

from string import ascii_letters, digits

import pytest
from hypothesis import example, given, strategies as st

from fastlane.models import container
from fastlane.models.container import Mount, MountKind

NAMES = ascii_letters + digits + "_.-"
PART = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/:{"), min_size=1, max_size=5).filter(
    lambda part: part not in (".", "..")
)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/", "/"),
        ("/srv", "/srv"),
        ("/srv/", "/srv"),
        ("/srv/..data", "/srv/..data"),
        ("/srv/.x/...", "/srv/.x/..."),
        ("/SRV", "/SRV"),
        ("/ü/{x}", "/ü/{x}"),
        ("/srv ", "/srv "),
        ("/" + "x" * 1023, "/" + "x" * 1023),
    ],
)
def test_a_path_is_kept_as_it_is_but_for_a_slash_at_its_end(value, path):
    assert container.read_path(value) == path


@pytest.mark.parametrize(
    "value",
    [
        *("", "srv", "./srv", "../srv", " /srv", "\\srv", "C:\\srv", "\u2215srv"),
        *("//", "//srv", "/srv//", "/srv//data", "/.", "/..", "/srv/.", "/srv/..", "/srv/../etc", "/srv/./data", "/../srv"),
        *("/srv:/etc", "/srv:ro", "/srv\n", "/srv\n/etc", "/srv\r", "/srv\t", "/srv\x00", "/srv\x7f", "/srv\x85"),
        *("/srv/{{.Node.ID}}", '/srv/{{"\\x2e\\x2e"}}/etc', "/" + "x" * 1024),
        *(None, 1, True, ["/srv"], {}),
    ],
)
def test_what_may_mean_another_path_is_none(value):
    with pytest.raises(ValueError, match=r"path|text|longer"):
        container.read_path(value)


@given(st.text(max_size=20).map(lambda text: "/" + text) | st.lists(PART, max_size=4).map(lambda parts: "/" + "/".join(parts)))
@example("//")
def test_a_path_that_is_read_is_the_one_that_the_kernel_sees_and_is_read_as_itself(text):
    try:
        path = container.read_path(text)
    except ValueError:
        return
    assert path.startswith("/")
    parts = path.split("/")[1:]
    assert path == "/" or not {"", ".", ".."} & set(parts)
    assert text in (path, path + "/")
    assert container.read_path(path) == path


@given(st.lists(PART, min_size=1, max_size=4))
def test_every_plain_path_is_read(parts):
    path = "/" + "/".join(parts)
    assert container.read_path(path) == path


@pytest.mark.parametrize("value", ["0", "1000", "app", "1000:1000", "app:staff", "_x", "a.b-c@d$", "a" * 64 + ":" + "b" * 64])
def test_a_user_is_a_name_or_number_perhaps_with_a_group(value):
    assert container.read_user(value) == value


@pytest.mark.parametrize("value", ["", " ", "a b", ":", "a:", ":a", "a:b:c", "+0", "-1", "root\n", "\u0440oot", "０", "a" * 65, 0, None])
def test_an_invalid_user_is_refused(value):
    with pytest.raises(ValueError, match=r"user|text"):
        container.read_user(value)


@pytest.mark.parametrize(
    ("value", "signal"),
    [
        ("SIGTERM", "SIGTERM"),
        ("TERM", "SIGTERM"),
        ("sigterm", "SIGTERM"),
        (" Term ", "SIGTERM"),
        (15, "SIGTERM"),
        (15.0, "SIGTERM"),
        ("15", "SIGTERM"),
        ("SIGRTMIN+3", "SIGRTMIN+3"),
        (37, "SIGRTMIN+3"),
        (64, "SIGRTMAX"),
        ("RTMAX-1", "SIGRTMAX-1"),
    ],
)
def test_a_signal_has_one_name(value, signal):
    assert container.read_signal(value) == signal


@pytest.mark.parametrize(
    "value", ["", "SIG", "FOO", "SIGSIGTERM", 0, -15, 32, 33, 65, 15.5, True, None, "15.0", "00159", "1" * 5000, "٣", ["TERM"]]
)
def test_an_invalid_signal_is_refused(value):
    with pytest.raises(ValueError, match="is not a signal"):
        container.read_signal(value)


@pytest.mark.parametrize("name", container.SIGNALS)
def test_every_signal_is_known_by_its_number_too(name):
    assert (
        container.read_signal(name) == container.read_signal(f"SIG{name}") == container.read_signal(container.SIGNALS[name]) == f"SIG{name}"
    )


@pytest.mark.parametrize(("value", "milliseconds"), [("1s", 1_000), ("1m30s", 90_000), ("1h", 3_600_000), ("60m", 3_600_000), (10, 10_000)])
def test_a_grace_is_a_duration(value, milliseconds):
    assert container.read_grace(value) == milliseconds


@pytest.mark.parametrize("value", ["0s", "0.9s", "3601s", "61m", "1d", 0.9, 3601, "-5s", None])
def test_a_grace_is_from_a_second_to_an_hour(value):
    with pytest.raises(ValueError, match=r"from 1s to 1h|duration"):
        container.read_grace(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (4194304, 4194304),
        (4194304.0, 4194304),
        ("4194304", 4194304),
        ("4194304b", 4194304),
        ("4096k", 4194304),
        ("4m", 4194304),
        ("4M", 4194304),
        ("512 MiB", 536870912),
        (" 1GiB ", 2**30),
        ("1.5g", 3 * 2**29),
        ("1024KIB", None),
        ("1048576g", 2**50),
    ],
)
def test_memory_is_bytes_or_a_number_with_a_unit(value, size):
    if size is None:
        with pytest.raises(ValueError, match="from 4MiB"):
            container.read_memory(value)
    else:
        assert container.read_memory(value) == size


@pytest.mark.parametrize(
    "value",
    ["", "m", "5", 0, -1, 4194303, "3.9m", 4194304.5, True, None, "512mb", "5t", "1e9", "0x400000", "inf", "٥m", "5 5m", []],
)
def test_a_memory_size_that_an_engine_does_not_accept_is_refused(value):
    with pytest.raises(ValueError, match="is not a size"):
        container.read_memory(value)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (container.read_memory, "1048577g"),
        (container.read_memory, 10**18),
        (container.read_cpus, 100_001),
        (container.read_cpus, float("inf")),
        (container.read_pids, 2**22 + 1),
    ],
)
def test_a_number_that_is_too_large_is_called_that(read, value):
    with pytest.raises(ValueError, match="is too large; write a "):
        read(value)


@given(st.integers(container.LEAST_MEMORY, container.MAX_BYTES))
def test_a_size_that_is_shown_is_read_as_the_same(size):
    assert container.read_memory(container.show_size(size)) == size


@pytest.mark.parametrize(("value", "cpus"), [(1, 1.0), (0.001, 0.001), (1.5, 1.5), (100_000, 100_000.0)])
def test_processors_are_a_number(value, cpus):
    assert container.read_cpus(value) == cpus
    assert isinstance(container.read_cpus(value), float)


@pytest.mark.parametrize("value", [0, 0.0009, -1, True, "1", None, float("nan")])
def test_an_invalid_number_of_processors_is_refused(value):
    with pytest.raises(ValueError, match="is not a number of processors"):
        container.read_cpus(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", None])
def test_an_invalid_number_of_processes_is_refused(value):
    with pytest.raises(ValueError, match="is not a whole number"):
        container.read_pids(value)


@pytest.mark.parametrize(
    ("value", "constraint"),
    [
        ("node.role==worker", "node.role==worker"),
        ("  node.role  !=  manager ", "node.role!=manager"),
        ("node.id==2ivku8v2gvtg4", "node.id==2ivku8v2gvtg4"),
        ("node.hostname==a.b", "node.hostname==a.b"),
        ("node.platform.os==linux", "node.platform.os==linux"),
        ("node.platform.arch==x86_64", "node.platform.arch==x86_64"),
        ("node.labels.com.example.Disk-1==ssd", "node.labels.com.example.Disk-1==ssd"),
        ("engine.labels.x!=a:b/c", "engine.labels.x!=a:b/c"),
    ],
)
def test_a_constraint_is_stored_without_spaces(value, constraint):
    assert container.read_constraint(value) == constraint


@pytest.mark.parametrize(
    "value",
    [
        *("", "node.role", "node.role==", "==worker", "node.role=worker", "node.role===worker", "node.role>=worker", "NODE.role==worker"),
        *(
            "node.name==a",
            "node.labels==a",
            "node.labels.==a",
            "node.role==a b",
            "node.role==a\n",
            "node.role\n==a",
            "node.role==a,node.id==b",
        ),
        *("node.role==a==b", "node.role==ü", "node.role==" + "a" * 129, 1, None),
    ],
)
def test_an_invalid_constraint_is_refused(value):
    with pytest.raises(ValueError, match=r"constraint|text"):
        container.read_constraint(value)


@pytest.mark.parametrize(("value", "name"), [("db", "db"), ("DB.Internal", "db.internal"), ("a_b-c.d1", "a_b-c.d1"), ("7", "7")])
def test_a_host_s_name_is_in_small_letters(value, name):
    assert container.read_host_name(value) == name


@pytest.mark.parametrize(
    "value", ["", "a b", "a\n", "a\tb", "-a", "a-", "a..b", ".a", "a.", "ü", "a" * 64, ".".join(["a" * 60] * 5), "a#b", 1]
)
def test_an_invalid_host_name_is_refused(value):
    with pytest.raises(ValueError, match=r"a host|text"):
        container.read_host_name(value)


@pytest.mark.parametrize(("value", "address"), [("10.0.0.7", "10.0.0.7"), ("2001:DB8:0::7", "2001:db8::7")])
def test_an_address_has_its_usual_form(value, address):
    assert container.read_address(value) == address


@pytest.mark.parametrize(
    "value", ["", "host-gateway", "10.0.0", "010.0.0.7", "10.0.0.7 x", "10.0.0.7\n", "fe80::1%eth0", "fe80::1%a b", "1", 1, None]
)
def test_an_invalid_address_is_refused(value):
    with pytest.raises(ValueError, match=r"IP address|text"):
        container.read_address(value)


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (container.read_network, ["host", "a", "back_end.1"], ["", "-a", "a b", "a/b", "ü", "a" * 129, "a\n", 1]),
        (container.read_volume, ["ab", "cache-1"], ["", "a", "/ab", "a/b", "../a", "a" * 129, "ab\n", 1]),
        (container.read_secret, ["a", "db-password"], ["", "a-", "-a", "a/b", "a" * 65, "a\n", 1]),
        (container.read_secret_file, ["a", ".env", "..."], ["", ".", "..", "a/b", "/a", "a" * 129, "a\n", 1]),
    ],
)
def test_names_are_those_that_docker_takes(read, good, bad):
    assert [read(name) for name in good] == good
    for name in bad:
        with pytest.raises(ValueError, match=r"name|text"):
            read(name)


@pytest.mark.parametrize(
    ("value", "mount"),
    [
        ("/srv:/data", Mount(MountKind.BIND, "/data", "/srv")),
        ("/:/host/:ro", Mount(MountKind.BIND, "/host", "/", read_only=True)),
        ("/srv/:/data:rw", Mount(MountKind.BIND, "/data", "/srv")),
        ("cache:/data:ro", Mount(MountKind.VOLUME, "/data", "cache", read_only=True)),
    ],
)
def test_a_mount_is_read_as_docker_run_has_it(value, mount):
    assert container.read_mount(value) == mount


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            ":",
            "/srv",
            "/srv:",
            ":/data",
            "/srv:data",
            "./srv:/data",
            "~/x:/data",
            "/srv:/data:",
            "/srv:/data:ro,z",
            "/srv:/data:ro:ro",
        ),
        *("/srv:/data:RO", "/srv:/", "/srv/..:/data", "//srv:/data", "/srv:/data/../etc", "/srv:/data\n", "c:/data", 1, None),
    ],
)
def test_an_invalid_mount_is_refused(value):
    with pytest.raises(ValueError, match=r"mount|path|volume|root|text"):
        container.read_mount(value)
