"""The specification: models in TLA+ of what must not go wrong between two steps, explored whole by TLC. docs/internals/specification.md."""
