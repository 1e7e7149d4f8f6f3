"""The pages that people open: ``pages/`` (HTML) and ``assets/`` (what that refers to), built from ``static/`` by ``scripts/static``."""
