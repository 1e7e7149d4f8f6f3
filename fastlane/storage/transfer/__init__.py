"""A store's content as a file of JSON lines, the same for every store, and back."""
