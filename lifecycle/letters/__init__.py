"""Letters: the mails by which notices are told, and what becomes of them (R27, R29). The only writers of Letter."""

from .bounces import Bounce, record_bounce
from .outcomes import forget_after, read_outcomes, take_back_stale
from .reading import readable
from .telling import batches, by_account, due, tell

__all__ = [
    "Bounce",
    "batches",
    "by_account",
    "due",
    "forget_after",
    "read_outcomes",
    "readable",
    "record_bounce",
    "take_back_stale",
    "tell",
]
