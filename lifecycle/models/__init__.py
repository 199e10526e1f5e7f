"""What time did and what it owes: runs, notices, deletions, and what ops watch."""

from .deletion import DeletionStop, HandRelease, ManifestLine, StaffHold
from .notices import Letter, Notice
from .ops import Alarm, Figure
from .runs import LifecycleRun

__all__ = [
    "Alarm", "DeletionStop", "Figure", "HandRelease", "Letter", "LifecycleRun", "ManifestLine", "Notice", "StaffHold",
]  # fmt: skip
