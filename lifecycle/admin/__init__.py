"""Staff's pages of what time does: runs, deletions, and what keeps a box from them. Everything is changed by flows."""

from . import boxes, deletion, runs

__all__ = ["boxes", "deletion", "runs"]
