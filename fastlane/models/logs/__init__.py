"""Values of an execution's log: its chunks, the cursor into it, and the next step of a follower."""
