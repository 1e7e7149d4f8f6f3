"""``python -m fastlane`` is the command ``fastlane``."""

from fastlane.cli import main

main(prog_name="fastlane")
