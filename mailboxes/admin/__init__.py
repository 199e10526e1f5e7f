"""Staff's pages of the boxes, their owners and the price list. States and dates change through flows only."""

from . import boxes, catalogue

__all__ = ["boxes", "catalogue"]
