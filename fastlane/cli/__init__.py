"""The command ``fastlane``."""
