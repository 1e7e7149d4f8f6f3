"""Text that is secret by itself, whatever its variable is called: ``redaction`` masks it as it masks the value of a secret name."""


class SecretText(str):
    """The value of a variable that its job declares as secret."""

    __slots__ = ()
