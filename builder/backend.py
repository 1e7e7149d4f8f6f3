"""The build backend (PEP 517): setuptools, which first makes what is not in git: the version, the web pages, and the generated half of the
client.

The client's types are made by running fastlane's own code, so a build needs what running fastlane needs.
"""

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import get_requires_for_build_sdist

from builder import version

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).parents[1]

Options = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Options = None) -> list[str]:
    """What a build needs where it runs in an environment of its own."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *dependencies()]


def get_requires_for_build_editable(config_settings: Options = None) -> list[str]:
    """As for a wheel."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *dependencies()]


def build_wheel(wheel_directory: str, config_settings: Options = None, metadata_directory: str | None = None) -> str:
    """Makes the pages and the client, then the wheel."""
    make()
    return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(wheel_directory: str, config_settings: Options = None, metadata_directory: str | None = None) -> str:
    """Makes the pages and the client in the checkout, then what leads to it."""
    make()
    return str(build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: Options = None) -> str:
    """Writes the version, then packs the sources."""
    version.write(ROOT)
    return str(build_meta.build_sdist(sdist_directory, config_settings))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Options = None) -> str:
    """Writes the version, which the metadata name."""
    version.write(ROOT)
    return str(build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings))


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Options = None) -> str:
    """As for a wheel."""
    version.write(ROOT)
    return str(build_meta.prepare_metadata_for_build_editable(metadata_directory, config_settings))


def dependencies() -> list[str]:
    """What fastlane itself needs, from setup.cfg."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    return config["options"]["install_requires"].split("\n")[1:]


def make() -> None:
    """Makes what is not in git, the version first. The pages only where their sources and npm are: without pages, the server says what is
    missing."""
    version.write(ROOT)
    pages = (
        [str(ROOT / "scripts/static")] if (ROOT / "static/package.json").exists() and shutil.which("node") and shutil.which("npm") else []
    )
    if pages and subprocess.run(pages, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode:
        sys.stderr.write("the web pages could not be built; the package goes on without them\n")
    # pipx asks Python not to look for modules in the current directory
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    making = [sys.executable, "-m", "builder.client", "--always"]
    subprocess.run(making, cwd=ROOT, env=os.environ | paths, stdin=subprocess.DEVNULL, check=True)
