"""The policy of a pool whose jobs may ask for anything of their containers."""

from fastlane.config.pools import POLICY_KEYS
from fastlane.config.types import read_table
from fastlane.models.container import Policy

EVERY_OPTION = dict.fromkeys(POLICY_KEYS, True)
"""As the settings have it."""
EVERYTHING = Policy(**read_table(EVERY_OPTION, POLICY_KEYS))
