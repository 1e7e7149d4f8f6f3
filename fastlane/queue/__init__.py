"""The timed queue: an index of the store that says what is due, what may start, and which worker has it."""
