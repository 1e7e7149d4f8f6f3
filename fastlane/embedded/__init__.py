"""What ``fastlane up`` brings along on a laptop: a Redis server of its own, and an engine made ready."""
