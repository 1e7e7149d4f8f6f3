"""Text that Swarm expands as a Go template: how to escape it, and how long it is then."""

OPENING = "{{"
ESCAPED = '{{"{{"}}'


def literal(text: str) -> str:
    """Text that Swarm, which expands Go templates in an environment and in what is mounted where, expands to the text itself.

    (It expands a host name and a volume's labels and options too, which are never submitted. Everything else it leaves alone.)
    """
    return text.replace(OPENING, ESCAPED)


def literal_size(text: str) -> int:
    """How many bytes ``literal(text)`` has: up to four times those of the text."""
    return len(text.encode()) + text.count(OPENING) * (len(ESCAPED) - len(OPENING))
