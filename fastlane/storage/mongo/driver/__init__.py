"""Motor: how the calls are made and repeated, and what its exceptions mean."""
