"""fastlane runs commands in containers: now, later or on a schedule, for anyone who can send an HTTP request."""

RELEASE = "0.2.0"
"""The release that this code is, or will be."""

try:
    from fastlane._version import __version__
except ModuleNotFoundError:  # a copy of the files that git had no part in
    __version__ = f"{RELEASE}.dev0"

__all__ = ["RELEASE", "__version__"]
