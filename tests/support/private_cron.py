"""Debian's cron with crontabs and a /run of its own, as on a machine of its own, so that several run side by side."""

import subprocess
from pathlib import Path

TAB = "tabs/root"
"""Root's crontab in the folder of ``cron``. A daemon that runs reads it anew in the minute after a change."""


def cron(folder: Path, tab: str, socket: Path | None = None) -> list[str]:
    """Writes the crontab; returns the command that runs the daemon. ``socket``: its jobs see this one as ``docker.sock`` in the folder."""
    (folder / "tabs").mkdir(mode=0o1730)
    write_tab(folder, tab)
    bound = "" if socket is None else f"touch {folder}/docker.sock && mount --bind {socket} {folder}/docker.sock && "
    (folder / "machine").write_text(
        f"{bound}mount -t tmpfs none /run && mount --bind {folder}/tabs /var/spool/cron/crontabs && mount -t tmpfs none /etc/cron.d && "
        "mount --bind /dev/null /etc/crontab && exec cron -f -L 15\n"
    )
    return ["unshare", "-m", "sh", f"{folder}/machine"]


def write_tab(folder: Path, tab: str) -> None:
    """Replaces root's crontab."""
    fresh = folder / "tab"
    fresh.write_text(tab)
    fresh.chmod(0o600)
    fresh.rename(folder / TAB)


def cron_version() -> str:
    """The version of Debian's package."""
    return subprocess.run(["dpkg-query", "-Wf", "${Version}", "cron"], capture_output=True, text=True, check=True).stdout
