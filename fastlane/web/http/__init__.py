"""The base of every handler: bodies, queries, paging, and errors as problem documents."""
