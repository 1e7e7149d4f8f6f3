"""Values of an execution's log: its chunks, the cursor into it, and what a follower does next."""
