"""HTTP itself: bodies, queries, paging, encodings and errors as problem documents. It does not know the application."""
