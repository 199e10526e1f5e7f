"""What a person may be told when a flow refuses. Every refusal is a sentence (R31)."""


class RefusedError(Exception):
    """A flow refused, and `str(error)` is the sentence for the person who asked."""
