"""``python -m fastlane`` is the command ``fastlane``."""

from fastlane.cli.main import main

main(prog_name="fastlane")
