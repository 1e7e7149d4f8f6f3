"""The TLS context of a host follows its files, and never believes more than its own authority."""

import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fastlane.errors import HostDown
from fastlane.executors.swarm import transport
from fastlane.executors.swarm.transport import TlsContext
from fastlane.models.host import TlsFiles
from tests.support.certificates import make_certificate


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TLS_FILES_EVERY", 0.0)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    certificate, key = make_certificate(tmp_path, "one")
    return TlsFiles(certificate, certificate, key)


def test_an_engine_is_always_verified_by_one_authority(files: TlsFiles) -> None:
    context = TlsContext("h:1", files).current()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert [dict(pair for part in row["subject"] for pair in part)["commonName"] for row in context.get_ca_certs()] == ["one"]


def test_a_context_stays_until_its_files_change_as_a_whole(files: TlsFiles, tmp_path: Path) -> None:
    made = TlsContext("h:1", files)
    first = made.current()
    assert made.current() is first
    (tmp_path / "new").mkdir()
    certificate, key = make_certificate(tmp_path / "new", "two")
    with capture_logs() as lines:
        files.certificate.write_bytes(certificate.read_bytes())  # the key is still the old one
        assert made.current() is first
        assert made.current() is first
        files.key.write_bytes(key.read_bytes())
        assert made.current() is not first
    assert [line["event"] for line in lines] == ["host.tls_not_loaded", "host.tls_loaded"]
    assert not [line for line in lines if key.read_text().splitlines()[1] in str(line)]


def test_files_that_cannot_be_used_from_the_start_are_named(files: TlsFiles) -> None:
    files.key.unlink()
    made = TlsContext("h:1", files)
    with pytest.raises(HostDown, match=str(files.key)):
        made.current()
