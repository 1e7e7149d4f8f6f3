"""The metadata stands in setup.cfg; this adds the build of the web pages."""

import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithPages(build_py):
    """Builds the web pages into the package first, where their sources and npm are. Without them the server says what is missing."""

    def run(self) -> None:
        if (ROOT / "static/package.json").exists() and shutil.which("node") and shutil.which("npm"):
            built = subprocess.run([str(ROOT / "scripts/static")], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
            if built.returncode:
                self.warn("the web pages could not be built; the package goes on without them")
        super().run()


setup(cmdclass={"build_py": BuildWithPages})
