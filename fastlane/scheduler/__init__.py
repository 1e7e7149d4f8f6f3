"""The loops that make things happen. Each has one job, reads the store, writes the store, and knows no other loop."""
