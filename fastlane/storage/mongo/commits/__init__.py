"""The commits of a job, and the intents that they leave to be completed."""
