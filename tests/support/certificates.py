"""Certificates for tests, made by openssl."""

import subprocess
from pathlib import Path

from tests.support.docs import ROOT, commands_in, section

TLS_PAGE = section(ROOT / "docs/security.md", "With TLS")


def follow_the_page(folder: Path, *, options: str = "-days 365") -> None:
    """Makes in the folder what the docs make for engines: an authority and certificates of 127.0.0.1 and of fastlane, by the very commands.
    ``options``: for how long they are valid."""
    typed = "\n".join(["set -e", *(command for command in commands_in(TLS_PAGE) if command.startswith("openssl"))])
    typed = typed.replace("10.0.0.7", "127.0.0.1").replace("-days 365", options)
    subprocess.run(["bash", "-c", typed], cwd=folder, check=True, capture_output=True, timeout=60)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, for that host name, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    about = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = ["openssl", "req", "-x509", *curve, *about, "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key
