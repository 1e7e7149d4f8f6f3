"""Where settings come from, what their values may be, and what is said about wrong ones."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from fastlane.cli.config import markdown
from fastlane.config import types
from fastlane.config.access import hash_token
from fastlane.config.load import load
from fastlane.config.pools import POOLS as POOLS_TYPE
from fastlane.config.settings import SETTINGS, Settings
from fastlane.errors import Invalid
from fastlane.models.host import Reserve, TlsFiles
from fastlane.models.pool import Pool, Pull

SECRET = "hunter2"


def toml(text: str) -> None:
    Path("fastlane.toml").write_text(text)


def faults(role="up", **keywords) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        load(role, **keywords)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_up_needs_no_setting_at_all(tmp_path):
    loaded = load("up")
    settings = loaded.settings
    assert set(loaded.origins.values()) == {"default"}
    assert settings.data_dir == tmp_path / ".fastlane"
    assert settings.store_path == tmp_path / ".fastlane" / "fastlane.db"
    assert settings.redis_url is None
    assert (settings.listen, settings.port) == ("127.0.0.1", 10_000)
    assert settings.pools == (Pool("default", "", ("unix:///var/run/docker.sock",), 10, Pull.MISSING),)
    assert (settings.lease, settings.renew, settings.hard_timeout) == (15, 5, 1800)
    assert (settings.max_body, settings.max_log_bytes) == (2**20, 100 * 2**20)


def test_the_defaults_are_those_of_a_process_that_sets_nothing(tmp_path):
    loaded = load("up").settings
    assert Settings.defaults(tmp_path) == replace(loaded, log_format="json")


def test_defaults_follow_from_values_that_are_given(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    monkeypatch.setenv("FASTLANE_PER_PAGE", "7")
    settings = Settings.defaults(role="api", data_dir=Path("/data"))
    assert settings.store_path == Path("/data/fastlane.db")
    assert (settings.listen, settings.per_page) == ("0.0.0.0", 10)
    assert settings.pools[0].hosts == ("unix:///var/run/docker.sock",)


def test_api_listens_on_all_interfaces(monkeypatch):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q:6379/0")
    monkeypatch.setenv("FASTLANE_ALLOW_ANONYMOUS", "true")
    assert load("api").settings.listen == "0.0.0.0"
    assert load("up").settings.listen == "127.0.0.1"


@pytest.mark.parametrize(("role", "listen"), [("api", ""), ("api", "10.0.0.7"), ("up", "0.0.0.0"), ("up", "::")])
def test_a_server_that_others_reach_needs_users_unless_it_says_that_it_wants_none(monkeypatch, role, listen):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q:6379/0")
    monkeypatch.setenv("FASTLANE_LISTEN", listen)
    assert "set users or tokens" in faults(role)["listen"]
    assert "allow_anonymous = true" in faults(role)["listen"]
    with monkeypatch.context() as patch:
        patch.setenv("FASTLANE_TOKENS", json.dumps([{"name": "ci", "token": hash_token("t"), "role": "run"}]))
        assert load(role).settings.tokens
    monkeypatch.setenv("FASTLANE_ALLOW_ANONYMOUS", "1")
    assert load(role).settings.allow_anonymous
    monkeypatch.delenv("FASTLANE_ALLOW_ANONYMOUS")
    monkeypatch.setenv("FASTLANE_LISTEN", "127.0.0.2")
    assert not load(role).settings.allow_anonymous


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trusted_proxies", "127.0.0.1"),
        ("trusted_proxies", "10.1.0.0/16"),
        ("public_url", "https://jobs.example.com"),
        ("public_url", "http://10.0.0.7:8080/lane"),
    ],
)
def test_a_server_that_others_reach_by_a_proxy_needs_users_unless_it_says_that_it_wants_none(monkeypatch, name, value):
    monkeypatch.setenv("FASTLANE_LISTEN", "127.0.0.1")
    monkeypatch.setenv(f"FASTLANE_{name.upper()}", value)
    assert "allow_anonymous = true" in faults("up")[name]
    monkeypatch.setenv("FASTLANE_TOKENS", json.dumps([{"name": "ci", "token": hash_token("t"), "role": "run"}]))
    assert load("up").settings.tokens
    monkeypatch.delenv("FASTLANE_TOKENS")
    monkeypatch.setenv("FASTLANE_ALLOW_ANONYMOUS", "1")
    assert load("up").settings.allow_anonymous


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://fl.localhost", "http://127.0.0.2:1", "http://[::1]:10000"])
def test_a_public_url_of_this_machine_needs_no_users(monkeypatch, url):
    monkeypatch.setenv("FASTLANE_PUBLIC_URL", url)
    assert load("up").settings.public_url == url


@pytest.mark.parametrize(("given", "missing"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")])
def test_tls_needs_the_certificate_and_its_key(given, missing, tmp_path):
    toml(f'{given} = "tls.pem"')
    assert faults() == {missing: f"is not set, but {given} is; TLS needs both"}
    toml(f'{given} = "tls.pem"\n{missing} = "tls.key"')
    assert getattr(load("up").settings, given) == tmp_path / "tls.pem"


def test_a_worker_serves_nobody_and_needs_no_users(monkeypatch):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q:6379/0")
    monkeypatch.setenv("FASTLANE_LISTEN", "0.0.0.0")
    assert load("worker").settings.listen == "0.0.0.0"


@pytest.mark.parametrize("role", ["api", "worker"])
def test_api_and_worker_require_a_redis(role):
    assert "FASTLANE_REDIS_URL=redis://" in faults(role)["redis_url"]


def test_an_option_wins_over_the_environment_and_that_over_the_file(monkeypatch):
    toml('port = 1\nlisten = "10.0.0.1"\ninstallation = "filed"')
    monkeypatch.setenv("FASTLANE_PORT", "2")
    monkeypatch.setenv("FASTLANE_LISTEN", "10.0.0.2")
    monkeypatch.setenv("FASTLANE_ALLOW_ANONYMOUS", "true")
    loaded = load("up", options={"port": "3"})
    assert (loaded.settings.port, loaded.origins["port"]) == (3, "--port")
    assert (loaded.settings.listen, loaded.origins["listen"]) == ("10.0.0.2", "FASTLANE_LISTEN")
    assert (loaded.settings.installation, loaded.origins["installation"]) == ("filed", "fastlane.toml")
    assert loaded.origins["lease"] == "default"


def test_an_empty_variable_is_the_same_as_none(monkeypatch):
    monkeypatch.setenv("FASTLANE_PORT", "")
    assert load("up").origins["port"] == "default"


def test_another_file_is_read_when_it_is_named(monkeypatch, tmp_path):
    toml("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    (tmp_path / "third.toml").write_text("port = 3")
    monkeypatch.setenv("FASTLANE_CONFIG", "other.toml")
    assert load("up").settings.port == 2
    loaded = load("up", config=str(tmp_path / "third.toml"))
    assert (loaded.settings.port, loaded.origins["port"]) == (3, str(tmp_path / "third.toml"))


def test_a_named_file_that_is_not_there_is_a_fault():
    assert "does not exist" in faults(config="gone.toml")["gone.toml"]


@pytest.mark.parametrize(("content", "message"), [(b"port = ", "is not TOML"), (b"\xff\xfe", "not UTF-8")])
def test_a_file_that_cannot_be_understood_is_a_fault(content, message):
    Path("fastlane.toml").write_bytes(content)
    assert message in faults()["fastlane.toml"]


def test_all_faults_are_named_at_once(monkeypatch):
    toml('prot = 1\nlease = 15\n[[pools]]\nname = "a b"\nmatch = ""\nhosts = []')
    monkeypatch.setenv("FASTLANE_RENWE", "1s")
    monkeypatch.setenv("FASTLANE_LOG_LEVEL", "loud")
    assert set(faults("worker", options={"port": "x"})) == {
        "fastlane.toml: prot",
        "fastlane.toml: lease",
        "fastlane.toml: pools",
        "FASTLANE_RENWE",
        "FASTLANE_LOG_LEVEL",
        "--port",
        "redis_url",
    }


def test_an_unknown_name_is_answered_with_the_nearest_known_one(monkeypatch):
    toml("prot = 1")
    monkeypatch.setenv("FASTLANE_REDIS_ULR", "redis://q")
    found = faults()
    assert found["fastlane.toml: prot"] == "is not a setting; the nearest known name is port"
    assert found["FASTLANE_REDIS_ULR"] == "is not a setting; the nearest known name is FASTLANE_REDIS_URL"


@pytest.mark.parametrize(
    "name",
    [
        "FASTLANE_TEST_MONGO_URL",
        "FASTLANE_JOB_ID",
        "FASTLANE_SERVICE_HOST",
        "FASTLANE_PORT_10000_TCP",
        "FASTLANE_URL",
        "FASTLANE_TOKEN",
        "FASTLANE_CONTEXT",
        "FASTLANE_STACK",
    ],
)
def test_variables_that_belong_to_others_are_left_alone(monkeypatch, name):
    settings = load("up").settings
    monkeypatch.setenv(name, "x")
    assert load("up").settings == settings


def test_a_port_that_kubernetes_set_is_explained(monkeypatch):
    monkeypatch.setenv("FASTLANE_PORT", "tcp://10.0.0.1:80")
    assert "enableServiceLinks" in faults()["FASTLANE_PORT"]


def test_a_plain_setting_is_not_read_from_a_file(monkeypatch):
    monkeypatch.setenv("FASTLANE_PORT_FILE", "/run/port")
    monkeypatch.setenv("FASTLANE_SMTP_HOST_FILE", "/run/host")
    words = "is not a setting: only secrets are read from a file; set {} itself"
    assert faults() == {f"{name}_FILE": words.format(name) for name in ("FASTLANE_PORT", "FASTLANE_SMTP_HOST")}


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("up", "metrics_port = 0\nport = 0"),
        ("up", 'listen = "10.0.0.1"\nallow_anonymous = true\nmetrics_port = 10000'),
        ("up", "processes = 3\nmetrics_port = 9999"),
        ("worker", "metrics_port = 10000"),
    ],
)
def test_a_port_of_figures_may_be_that_of_requests_where_both_can_be_served(monkeypatch, role, text):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    toml(text)
    assert load(role).settings.metrics_port is not None


def test_the_ports_of_figures_of_several_processes_leave_the_port_of_requests_alone(monkeypatch):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    monkeypatch.setenv("FASTLANE_ALLOW_ANONYMOUS", "true")
    toml("processes = 3\nmetrics_port = 9998")
    words = "is 9998, and 3 processes take the ports up to 10000; `port` is 10000: write another one, such as 10001"
    assert faults("api") == {"metrics_port": words}


NAMED = """
tls_certificate = "server.pem"
tls_key = "server.key"
smtp_host = "smtp.example.com"
smtp_from = "fastlane@example.com"
smtp_ca = "folder"
allow_anonymous = true
[[pools]]
name = "tls"
match = "t"
hosts = ["h:2376"]
tls = { ca = "ca.pem", certificate = "cert.pem", key = "closed/key.pem" }
[[pools]]
name = "ssh"
match = ""
hosts = ["ssh://me@h"]
ssh = { identity = "id", knownHosts = "known" }
"""


def test_every_file_that_a_command_needs_has_to_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    toml(NAMED)
    (tmp_path / "folder").mkdir()
    (tmp_path / "closed").write_text("not a folder")
    (tmp_path / "id").touch()

    def found(role: str) -> list[str]:
        with pytest.raises(Invalid) as caught:
            load(role, files=True)
        return [str(fault).replace(f"{tmp_path}/", "") for fault in caught.value.faults]

    gone = "which does not exist; create it, or correct the path"
    server = [f"fastlane.toml: tls_certificate: names server.pem, {gone}", f"fastlane.toml: tls_key: names server.key, {gone}"]
    mail = ["fastlane.toml: smtp_ca: names folder, which is a folder; name a file in it"]
    engines = [
        f"fastlane.toml: pools: tls.ca of pool 'tls' names ca.pem, {gone}",
        f"fastlane.toml: pools: tls.certificate of pool 'tls' names cert.pem, {gone}",
        "fastlane.toml: pools: tls.key of pool 'tls' names closed/key.pem, which cannot be read (Not a directory); correct the path, "
        "or the rights of its folders",
        f"fastlane.toml: pools: ssh.knownHosts of pool 'ssh' names known, {gone}",
    ]
    assert [found(role) for role in ("up", "api", "worker")] == [[*server, *mail, *engines], server, [*mail, *engines]]
    load("worker")  # other commands may be typed where these files are not
    for name in ("server.pem", "server.key"):
        (tmp_path / name).touch()
    load("api", files=True)


def test_a_certificate_that_docker_host_needs_has_to_be_there(monkeypatch, tmp_path):
    for name, value in (("HOST", "tcp://10.0.0.7:2376"), ("TLS_VERIFY", "1"), ("CERT_PATH", str(tmp_path))):
        monkeypatch.setenv(f"DOCKER_{name}", value)
    (tmp_path / "ca.pem").touch()
    found = faults(files=True)
    assert found.keys() == {"DOCKER_CERT_PATH"}
    (tmp_path / "cert.pem").touch()
    assert "tls.key of pool 'default' names" in faults(files=True)["DOCKER_CERT_PATH"]


def test_a_secret_may_stand_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text(f"redis://:{SECRET}@q:6379/1\n")
    monkeypatch.setenv("FASTLANE_REDIS_URL_FILE", str(tmp_path / "secret"))
    loaded = load("worker")
    assert loaded.settings.redis_url == f"redis://:{SECRET}@q:6379/1"
    assert loaded.origins["redis_url"] == "FASTLANE_REDIS_URL_FILE"
    assert SECRET not in repr(loaded)


def test_a_secret_given_twice_is_one_fault(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("redis://q")
    monkeypatch.setenv("FASTLANE_REDIS_URL_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    assert list(faults("worker")) == ["FASTLANE_REDIS_URL"]


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_secret_file_that_says_nothing_is_one_fault(monkeypatch, tmp_path, content):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("FASTLANE_REDIS_URL_FILE", str(tmp_path / "secret"))
    assert list(faults("worker")) == ["FASTLANE_REDIS_URL_FILE"]


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@q",
        f"redis://:{SECRET}@",
        f"redis://:{SECRET}@q:x",
        f"redis://u:12/{SECRET}@q",
        f"unix://:{SECRET}@",
        f"redis+sentinel://:{SECRET}@q:26379",
        f"redis+sentinel://:{SECRET}@/main",
        f"redis+sentinel://:{SECRET}@q,,r/main",
        f"redis+sentinel://:{SECRET}@q:x/main",
        f"redis+sentinel://:{SECRET}@q/main/zero",
        SECRET,
    ],
)
def test_a_fault_of_a_secret_does_not_tell_it(monkeypatch, url):
    monkeypatch.setenv("FASTLANE_REDIS_URL", url)
    message = faults("worker")["FASTLANE_REDIS_URL"]
    assert "redis://HOST:6379/0" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://m/d",
        f"mongodb://u:{SECRET}@m/db",
        "mongodb://m1:27017,m2:27018,[::1]:27019/fast-lane_2?replicaSet=rs&tls=true&authSource=admin",
        "mongodb://m/db?w=majority&readPreference=primary&retryWrites=false",
        f"mongodb+srv://u:{SECRET}@cluster.example.com/db?authSource=admin",
    ],
)
def test_a_store_in_mongodb_is_named_by_its_url(monkeypatch, url):
    monkeypatch.setenv("FASTLANE_STORE_URL", url)
    settings = load("up").settings
    assert (settings.store_is_mongo, settings.store_url) == (True, url)
    assert SECRET not in repr(settings)


def test_the_url_of_a_store_may_be_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "url").write_text(f"mongodb://u:{SECRET}@m/db\n")
    monkeypatch.setenv("FASTLANE_STORE_URL_FILE", str(tmp_path / "url"))
    assert load("up").settings.store_url == f"mongodb://u:{SECRET}@m/db"


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mongodb://", "DATABASE?replicaSet=NAME"),
        (f"mongodb://u:{SECRET}@m", "names no database; write its name after the hosts, such as mongodb://HOST:27017/fastlane"),
        (f"mongodb://u:{SECRET}@m1,m2/?replicaSet=r", "names no database"),
        (f"mongodb+srv://u:{SECRET}@m", "names no database"),
        (f"mongodb://u:{SECRET}/x@m/db", "%2F"),
        (f"mongodb://u:{SECRET}@m:1:2/db", "DATABASE?replicaSet=NAME"),
        (f"mongodb://u:{SECRET}@m/a/b", "DATABASE?replicaSet=NAME"),
        (f"mongodb+srv://u:{SECRET}@m:27017/db", "mongodb+srv://"),
        (f"mongodb://u:{SECRET}@m/db?readPreference=secondary", "reads from the primary"),
        (f"mongodb://u:{SECRET}@m/db?replicaSet=r&w=1", "majority"),
        (f"mongodb://u:{SECRET}@m/db?journal=false", "journal"),
        (f"mongodb://u:{SECRET}@m/db?retryWrites=true", "repeats writes itself"),
        (f"mongodb://u:{SECRET}@m/db?readConcernLevel=local", "majority"),
        (f"mongodb://u:{SECRET}@m/db?socketTimeoutMS=1", "time limit"),
    ],
)
def test_a_url_of_a_mongodb_that_cannot_be_used_is_refused_without_its_password(monkeypatch, url, part):
    monkeypatch.setenv("FASTLANE_STORE_URL", url)
    message = faults()["FASTLANE_STORE_URL"]
    assert part in message
    assert SECRET not in message


@pytest.mark.parametrize(("url", "path"), [("sqlite:///a/b.db", "a/b.db"), ("sqlite:////srv/b.db", "/srv/b.db")])
def test_a_store_url_has_a_relative_or_an_absolute_path(tmp_path, url, path):
    toml(f'store_url = "{url}"')
    assert load("up").settings.store_path == tmp_path / path


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("lease = 15", 'write "15s"'),
        ('lease = "15"', 'write "15s"'),
        ('lease = "soon"', "not a duration"),
        ('lease = "0s"', "longer than 0"),
        ('lease = "9s"', "at least twice renew (5s)"),
        ("port = 65536", "from 0 to 65535"),
        ("metrics_port = 65534\nprocesses = 3", "must be at most 65533, because each of 3 processes takes a port"),
        ("metrics_port = 10000\nmetrics_listen = '0.0.0.0'", "is 10000, which is `port`, too; `port` is 10000: write another"),
        ("port = 65535\nmetrics_port = 65535", "such as 65534"),
        ('keep_logs = "never"', "for no limit, write none"),
        ("max_total_log_bytes = 0", "for no limit, write none"),
        ("max_executions = -1", "for no limit, write none"),
        ("request_rate = 0", "for no limit, write none"),
        ("port = true", "from 0 to 65535"),
        ("port = 1.5", "from 0 to 65535"),
        ('listen = "localhost"', "write 127.0.0.1"),
        ('max_body = "1MB"', '"512m"'),
        ("max_body = 0", '"512m"'),
        ('min_free_disk = "100%"', '"5%" (below 100%)'),
        ("min_free_disk = -1", '"512MiB"'),
        ('unused_images_after = "59s"', "at least 1m"),
        ('public_url = "https://h/a//b"', "https://HOST/PATH"),
        ('public_url = "https://h/a/../b"', "https://HOST/PATH"),
        ('public_url = "https://h/a?b"', "https://HOST/PATH"),
        ('public_url = "https://h/a b"', "https://HOST/PATH"),
        ('public_url = "ftp://h"', "https://HOST"),
        ('public_url = "https://u:p@h"', "https://HOST"),
        ('trusted_proxies = ["10.0.0.1/8"]', "not an IP address"),
        ('trusted_proxies = 1', "is not a list"),
        ('allowed_origins = ["*"]', "is not the origin of pages"),
        ('allowed_origins = ["null"]', "is not the origin of pages"),
        ('allowed_origins = ["https://h/path"]', "no path"),
        ('allowed_origins = ["https://*.example.com"]', "is not the origin"),
        ('allowed_origins = ["https://h:443"]', "as browsers do"),
        ('allowed_origins = ["https://u@h"]', "is not the origin"),
        ('allowed_origins = "dash.example.com"', "https://HOST"),
        ('redact_words = ["a", ""]', "empty word"),
        ('redact_words = ["__"]', "underscores only"),
        ('open_reads = "perhaps"', "neither true nor false"),
        ("allow_anonymous = 2", "neither true nor false"),
        ('redact_words = 1', "is not a list"),
        ("per_page = 101", "from 1 to 100"),
        ('installation = "Big Name"', "a-z"),
        ('breaker_max_fails = 0', "from 1 to 1000"),
        ('log_format = "xml"', "auto, console, json"),
        ('data_dir = ""', "is not a directory"),
        ('store_url = "sqlite:///:memory:"', "sqlite:///PATH"),
        ("pools = 1", "[[pools]]"),
        ("[pools]", "[[pools]]"),
        ("[lease]", "is not text"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_answered_with_what_to_write(line, part):
    toml(line)
    (message,) = faults().values()
    assert part in message


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lease", "15 s", 15.0),
        ("hard_timeout", "4h30m25s", 16_225.0),
        ("max_body", "512KiB", 524_288),
        ("max_body", "4096", 4096),
        ("min_free_disk", "5%", Reserve(part=0.05)),
        ("min_free_disk", "1GiB", Reserve(2**30)),
        ("min_free_disk", "0", Reserve()),
        ("port", "0", 0),
        ("listen", "::1", "::1"),
        ("public_url", "https://fl.example.com/", "https://fl.example.com"),
        ("public_url", "https://example.com:8443/tools/fast-lane/", "https://example.com:8443/tools/fast-lane"),
        ("trusted_proxies", "10.0.0.1, 10.1.0.0/16", ("10.0.0.1", "10.1.0.0/16")),
        ("allowed_origins", "https://Dash.example.com/, http://localhost:3000", ("https://dash.example.com", "http://localhost:3000")),
        ("redact_words", "password, pin", ("password", "pin")),
        ("open_reads", "False", False),
        ("allow_anonymous", "1", True),
        ("redis_url", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis_url", "redis+sentinel://u:p@a:26379,[::1]:1,c/main/2", "redis+sentinel://u:p@a:26379,[::1]:1,c/main/2"),
        ("log_level", "DEBUG", "debug"),
    ],
)
def test_a_value_is_read_as_people_write_it(monkeypatch, name, text, value):
    monkeypatch.setenv("FASTLANE_ALLOW_ANONYMOUS", "true")
    monkeypatch.setenv(f"FASTLANE_{name.upper()}", text)
    assert getattr(load("up").settings, name) == value


POOLS = (
    Pool("big", "report-", ("10.0.0.7:2375", "tcp://10.0.0.8:2375"), 20, insecure=True),
    Pool("rest", "", ("unix:///s",), pull=Pull.ALWAYS),
)


def test_pools_are_tables_in_the_file():
    toml(
        '[[pools]]\nname = "big"\nmatch = "report-"\nhosts = ["10.0.0.7:2375", "tcp://10.0.0.8:2375"]\nmaxRunning = 20\ninsecure = true\n'
        '[[pools]]\nname = "rest"\nmatch = ""\nhosts = ["unix:///s"]\npull = "always"'
    )
    assert load("up").settings.pools == POOLS


def test_pools_are_json_in_the_environment_as_config_shows_them(monkeypatch):
    monkeypatch.setenv("FASTLANE_POOLS", POOLS_TYPE.show(POOLS))
    assert load("up").settings.pools == POOLS


@pytest.mark.parametrize(
    ("pool", "part"),
    [
        ('"name": "a", "match": "", "hosts": ["unix:///s"], "maxrunning": 1', "the nearest known name is maxRunning"),
        ('"name": "a", "match": "", "hosts": ["unix:///s"], "polcy": {}', "polcy is not known; the nearest known name is policy"),
        ('"name": "a", "match": ""', "has no hosts"),
        ('"name": "a", "match": "", "hosts": "unix:///s"', "is not a list"),
        ('"name": "a", "match": "", "hosts": ["http://h"]', "is not the address of a Docker engine"),
        ('"name": "a", "match": "(", "hosts": ["unix:///s"]', "not a regular expression"),
        ('"name": "a", "match": "", "hosts": ["unix:///s"], "maxRunning": true', "from 1 to"),
        ('"name": "a", "match": "", "hosts": ["unix:///s"], "pull": "never"', "always, missing"),
        ('"name": 1, "match": "", "hosts": ["unix:///s"]', "is not text"),
    ],
)
def test_a_wrong_pool_is_answered_with_what_is_wrong(monkeypatch, pool, part):
    monkeypatch.setenv("FASTLANE_POOLS", f"[{{{pool}}}]")
    assert part in faults()["FASTLANE_POOLS"]


@pytest.mark.parametrize("text", ["{", "[1]", "[]", '"x"', "[" * 100_000])
def test_pools_other_than_a_list_of_objects_are_a_fault(monkeypatch, text):
    monkeypatch.setenv("FASTLANE_POOLS", text)
    assert "FASTLANE_POOLS" in faults()


@pytest.mark.parametrize("host", ["unix:///run/user/1000/docker.sock", "ssh://me@10.0.0.7"])
def test_the_default_pool_is_on_the_engine_that_docker_host_names(monkeypatch, host):
    monkeypatch.setenv("DOCKER_HOST", host)
    loaded = load("up")
    assert loaded.settings.pools == (Pool("default", "", (host,)),)
    assert loaded.origins["pools"] == "DOCKER_HOST"


def test_docker_host_is_reached_with_tls_as_the_docker_command_would(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    (pool,) = load("up").settings.pools
    assert (pool.hosts, pool.tls) == (("tcp://10.0.0.7:2376",), TlsFiles(*(tmp_path / f"{name}.pem" for name in ("ca", "cert", "key"))))
    monkeypatch.setenv("DOCKER_HOST", "unix:///s")
    assert load("up").settings.pools == (Pool("default", "", ("unix:///s",)),)


def test_docker_host_is_never_reached_by_tcp_without_tls(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2375")
    assert "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH" in faults()["DOCKER_HOST"]


def test_a_docker_host_that_cannot_be_used_is_a_fault_only_while_no_pool_is_named(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "fd://")
    assert "not the address of a Docker engine" in faults()["DOCKER_HOST"]
    monkeypatch.setenv("FASTLANE_POOLS", POOLS_TYPE.show(POOLS))
    assert load("up").settings.pools == POOLS


@pytest.mark.parametrize("setting", [row for row in SETTINGS if row.computed is None], ids=lambda row: row.name)
def test_a_default_is_written_as_config_shows_it(setting):
    assert setting.type.show(setting.type.read(setting.default)) == setting.default


@given(st.integers(1, 100 * 3600 * 1000).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_that_is_shown_is_read_as_the_same(seconds):
    assert types.DURATION.read(types.DURATION.show(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.integers(1024, 2**50))
def test_a_size_that_is_shown_is_read_as_the_same(size):
    assert types.SIZE.read(types.SIZE.show(size)) == size


@given(st.sampled_from(SETTINGS), st.one_of(st.text(), st.integers(), st.floats(), st.lists(st.text()), st.booleans()))
def test_no_value_makes_a_reader_fail_in_another_way_than_by_refusing_it(setting, value):
    with contextlib.suppress(Invalid, ValueError):
        setting.type.read(value)


def test_the_docs_are_what_the_table_says():
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    assert page.read_text() == markdown(), "generate it: fastlane config --markdown > docs/configuration.md"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('traces_url = "collector:4318"', "is not the URL of a collector"),
        ('traces_url = "http://collector:4318/v1 traces"', "is not the URL of a collector"),
        ('sentry_dsn = "https://sentry.example.com/7"', "is not a DSN of Sentry"),
        ('sentry_dsn = "hunter2"', "is not a DSN of Sentry"),
        ('usage_every = "0.5s"', "at least 1s"),
        ('usage_every = "5"', "no unit"),
        ("metrics_tasks = -1", "0"),
    ],
)
def test_what_is_wrong_with_the_settings_of_telemetry_is_said_without_the_value(line, words):
    toml(line)
    (message,) = faults().values()
    assert words in message
    assert SECRET not in message


def test_the_settings_of_telemetry_show_no_secret_and_usage_can_be_turned_off():
    toml('traces_url = "https://anna:hunter2@collector/v1/traces"\nsentry_dsn = "https://hunter2@sentry.example.com/7"\nusage_every = 0')
    settings = load("up").settings
    assert settings.usage_every == 0
    shown = {
        setting.name: setting.type.show(getattr(settings, setting.name)) for setting in SETTINGS if setting.name.startswith(("tr", "se"))
    }
    assert "collector" in shown["traces_url"]
    assert "sentry.example.com" in shown["sentry_dsn"]
    assert SECRET not in "".join(shown.values())
    assert SECRET not in repr(settings)


def test_an_archive_is_a_folder_or_a_bucket_with_its_keys(monkeypatch, tmp_path):
    toml('archive_url = "file:///mnt/logs"')
    settings = load("up").settings
    assert (settings.archive_path, settings.archive_bucket) == (Path("/mnt/logs"), None)
    (tmp_path / "key").write_text("sec-ret\n")
    monkeypatch.setenv("FASTLANE_ARCHIVE_SECRET_KEY_FILE", str(tmp_path / "key"))
    for url, bucket in (("s3://my-bucket", ("my-bucket", "")), ("s3://my-bucket/a/b/", ("my-bucket", "a/b/"))):
        toml(f'archive_url = "{url}"\narchive_endpoint = "http://10.0.0.1:9000/"\narchive_access_key = "me"')
        assert list(faults()) == ["fastlane.toml: archive_access_key"]
        toml(f'archive_url = "{url}"\narchive_endpoint = "http://10.0.0.1:9000/"\narchive_access_key = "myself"')
        settings = load("up").settings
        assert (settings.archive_path, settings.archive_bucket) == (None, bucket)
        assert (settings.archive_endpoint, settings.archive_access_key, settings.archive_secret_key) == (
            *("http://10.0.0.1:9000", "myself", "sec-ret"),
        )
        assert "sec-ret" not in repr(settings)
    monkeypatch.delenv("FASTLANE_ARCHIVE_SECRET_KEY_FILE")
    assert list(faults()) == ["archive_secret_key"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("archive_url", url)
            for url in ("/mnt/logs", "file://logs", "file:///", "s3://", "s3://B", "s3://key:secret@bucket", "s3://bucket/?x=1")
        ),
        *(("archive_endpoint", url) for url in ("s3.example.com", "https://key:secret@host", "https://host/path")),
    ],
)
def test_a_wrong_place_of_an_archive_is_named_and_not_repeated(name, value):
    toml(f'{name} = "{value}"')
    assert list(faults()) == [f"fastlane.toml: {name}"] or list(faults()) == [name]
    assert "secret@" not in str(faults())
