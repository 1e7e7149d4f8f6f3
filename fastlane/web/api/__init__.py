"""The contract: what requests may hold, what answers hold, and the OpenAPI document made of both."""
