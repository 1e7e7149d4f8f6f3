"""The timed queue: an index of the store in Redis that says what is due, what may start, and who has it."""
