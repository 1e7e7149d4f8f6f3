"""Sends logs and events as they grow: server-sent events, text and the frames of a WebSocket. Routes use it."""
