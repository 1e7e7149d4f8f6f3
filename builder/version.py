"""Says which version a checkout is, and writes it into the package: ``fastlane/_version.py``, which is not in git.

A release is the commit that has the tag of ``fastlane.RELEASE``. Every other commit comes before that release, and is called after the
number of commits since the release before: ``0.2.0.dev136+g0123abcd``. An archive that git made (``git archive``, a host's download) knows
that too, and a source package has the file. Needs Python's standard library and git only.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = "fastlane/_version.py"

PREVIOUS = "0929f2fae3ef27915af0f73b5054661c2191101c"
"""The commit of the release before, for a clone without tags. ``scripts/previous-release`` writes it."""

ARCHIVED = "$Format:%H %(describe:tags,match=v[0-9]*)$"
"""In an archive: the commit, and the tag nearest to it with the number of commits since. ``.gitattributes`` asks git for that."""

DESCRIBED = re.compile(r"(v[\w.]+?)(?:-(\d+)-g[0-9a-f]+)?")


def release(root: Path = ROOT) -> str:
    """The release that the code will be, from ``fastlane/__init__.py``."""
    found = re.search(r'^RELEASE = "(.+)"$', (root / "fastlane/__init__.py").read_text("utf-8"), re.MULTILINE)
    if not found:
        raise ValueError('fastlane/__init__.py has no line RELEASE = "…"')
    return found[1]


def version(root: Path = ROOT, archived: str = ARCHIVED) -> str | None:
    """The version of the checkout or archive in that folder; None where nothing says which commit it is, as in a source package."""
    described = _from_git(root) if (root / ".git").exists() else _from_archive(archived)
    if described is None:
        return None
    tag, commits, commit, changed = described
    if tag == f"v{release(root)}" and commits == 0:
        return f"{release(root)}+changed" if changed else release(root)
    return f"{release(root)}.dev{commits}+g{commit[:8]}{'.changed' if changed else ''}"


def written(root: Path = ROOT) -> str | None:
    """The version that an earlier build wrote."""
    path = root / FILE
    found = re.search(r'^__version__ = "(.+)"$', path.read_text("utf-8"), re.MULTILINE) if path.exists() else None
    return found and found[1]


def write(root: Path = ROOT) -> None:
    """Writes the version where it differs, at once, since another process may be reading the file. Keeps it where nothing is known, and in
    the archive of a clone without tags, which knows the commit alone."""
    path, found = root / FILE, version(root)
    text = f'"""Written by builder/version.py."""\n\n__version__ = "{found}"\n'
    if found is None or (path.exists() and path.read_text("utf-8") == text):
        return
    commit = found.partition(".dev0+")[2]
    if commit and not (root / ".git").exists() and (written(root) or "").endswith(f"+{commit}"):
        return
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, "utf-8")
    new.replace(path)


Described = tuple[str, int, str, bool]
"""The tag before the commit, or nothing; the commits since; the commit; and whether files differ from it."""


def _from_git(root: Path) -> Described | None:
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    if found := DESCRIBED.fullmatch(_git(root, "describe", "--tags", "--match", "v[0-9]*")):
        return found[1], int(found[2] or 0), commit, changed
    return "", int(_git(root, "rev-list", "--count", f"{PREVIOUS}..HEAD") or 0), commit, changed


def _from_archive(archived: str) -> Described | None:
    commit, _, tag = archived.partition(" ")
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return None
    found = DESCRIBED.fullmatch(tag)
    return (found[1], int(found[2] or 0), commit, False) if found else ("", 0, commit, False)


def _git(root: Path, *words: str) -> str:
    """What git says; nothing where it fails or is missing."""
    try:
        done = subprocess.run(["git", *words], cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{written() or release() + '.dev0'}\n")
