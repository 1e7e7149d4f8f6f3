"""What ``run`` returns."""

from dataclasses import dataclass

from fastlane.client.contract import Execution
from fastlane.client.errors import JobFailed


@dataclass(frozen=True, slots=True)
class Finished:
    """The last attempt of a run, as the server has it, and what it wrote."""

    execution: Execution
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Whether the command ran and exited with 0."""
        return self.execution["status"] == "done"

    @property
    def exit_code(self) -> int | None:
        """The command's; None when it never had one."""
        return self.execution["exitCode"]

    def check(self) -> "Finished":
        """Itself. Raises JobFailed when it is not ``ok``."""
        if not self.ok:
            failure = self.execution["failure"]
            words = f"it ended as {self.execution['status']}" + (f": {failure['message']}" if failure else "")
            raise JobFailed(words, self.execution)
        return self
