"""The stack, deployed for real: its swarm, its images and who calls it."""
