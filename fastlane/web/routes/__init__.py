"""The handlers: one file for each resource. Each parses, calls one service and renders its answer."""
