"""What an outsider sees on the engine that an installation runs its jobs on."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

LABEL = "fastlane.installation"


class EngineView(Protocol):
    """The engines of one pool."""

    @property
    def hosts(self) -> Sequence[str]:
        """The URLs that the pool names."""

    def services(self, installation: str) -> list[str]:
        """The names of an installation's services."""

    def remove_services(self, installation: str) -> None:
        """Removes them."""


@dataclass(frozen=True)
class NoDocker:
    """An engine that is not Docker, and keeps nothing after the test."""

    url: str

    @property
    def hosts(self) -> Sequence[str]:
        return (self.url,)

    def services(self, installation: str) -> list[str]:
        return []

    def remove_services(self, installation: str) -> None:
        """Removes nothing."""


@dataclass(frozen=True)
class DockerEngine:
    """A real engine, seen through the docker command."""

    url: str

    @property
    def hosts(self) -> Sequence[str]:
        return (self.url,)

    def docker(self, *words: str) -> str:
        """The docker command's output."""
        command = ["docker", "-H", self.url, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def services(self, installation: str) -> list[str]:
        return self.docker("service", "ls", "--format", "{{.Name}}", "--filter", f"label={LABEL}={installation}").split()

    def remove_services(self, installation: str) -> None:
        for name in self.services(installation):
            subprocess.run(["docker", "-H", self.url, "service", "rm", name], capture_output=True, check=False, timeout=30)

    def containers(self) -> list[str]:
        """The names of all containers, running or not."""
        return self.docker("ps", "-a", "--format", "{{.Names}}").split()

    def networks(self, installation: str) -> list[str]:
        """The names of networks that an installation might have made."""
        names = self.docker("network", "ls", "--format", "{{.Name}}").split()
        return [name for name in names if "fastlane" in name or installation in name]
