"""Other job queues on Redis, for ``make bench`` and ``make bench-peers``: each in a virtual environment of its own, which has nothing of
fastlane. Only ``benchmarks.witness`` is shared with them, and it needs nothing but Python.
"""
