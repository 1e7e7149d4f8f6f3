"""The OpenAPI document, made from what the handlers declare."""
