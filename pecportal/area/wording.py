"""Dates inside sentences: Italian elides before 8 and 11 ("entro l'8 febbraio"), and leaves out the year that runs."""

from dataclasses import dataclass
from datetime import date

from django.utils import formats
from django.utils.translation import get_language
from django.utils.translation import gettext as _


@dataclass(frozen=True)
class Said:
    """A day as sentences say it on `today`: `{{ expiry.il }}` is "il 1 gennaio 2027", "l'8 febbraio" this year."""

    day: date
    today: date

    @property
    def days(self) -> int:
        """Days from today, negative when past."""
        return (self.day - self.today).days

    @property
    def written(self) -> str:
        text = formats.date_format(self.day, "j F" if self.day.year == self.today.year else "j F Y")
        return text.lower() if (get_language() or "").startswith("it") else text

    @property
    def _elides(self) -> bool:
        return self.day.day in (8, 11)

    @property
    def il(self) -> str:
        return (_("l'%(day)s") if self._elides else _("il %(day)s")) % {"day": self.written}

    @property
    def dal(self) -> str:
        return (_("dall'%(day)s") if self._elides else _("dal %(day)s")) % {"day": self.written}

    @property
    def fino(self) -> str:
        return (_("fino all'%(day)s") if self._elides else _("fino al %(day)s")) % {"day": self.written}

    @property
    def article(self) -> str:
        """What stands before the date where the date is an element of its own."""
        return _("l'") if self._elides else _("il ")
