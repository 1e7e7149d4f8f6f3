"""The loops of a worker. Each has one job, reads and writes the store, and knows no other loop."""
