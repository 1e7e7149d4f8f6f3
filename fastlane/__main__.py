"""``python -m fastlane`` is the command ``fastlane``."""

from fastlane.cli.server import main

main(prog_name="fastlane")
