"""The HTTP API. Its folders import in one direction: server, routes, openapi, handler, api, security, http, settings."""
