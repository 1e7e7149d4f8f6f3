"""What ``fastlane up`` sets up on a laptop: its own Redis server, and a Docker engine in a swarm."""
