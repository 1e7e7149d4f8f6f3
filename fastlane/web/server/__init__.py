"""The Tornado application: its routes, its connections and its limits."""
