"""The paged lists, and how much there is of everything."""
