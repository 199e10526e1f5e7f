"""Staff's pages of what time does: runs, notices, deletions. Everything is changed by flows."""

from . import boxes, deletion, notices, runs

__all__ = ["boxes", "deletion", "notices", "runs"]
