"""The ways of logs: from the engine into the store, and from the store to their followers."""
