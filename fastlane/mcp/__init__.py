"""The Model Context Protocol (MCP), by which programs that talk use fastlane: over stdio, and at ``/mcp`` of the API."""
