"""The seam to SdI: a file and its name in; it returns, or one of two errors. It touches nothing of ours."""

from abc import ABC, abstractmethod
from typing import ClassVar


class NotSentError(Exception):
    """The file certainly did not go: it may be sent again. The message is for staff, without the customer's data."""


class PerhapsSentError(Exception):
    """The file may have gone: nobody sends it again by himself. The message is for staff."""


class Road(ABC):
    name: ClassVar[str]  # Transmission.Road

    @abstractmethod
    def send(self, file_name: str, content: bytes) -> str:
        """Give a file to SdI, or to who gives it on; returns what was answered. Raises NotSentError, PerhapsSentError.

        Whatever else it raises counts as perhaps sent.
        """
