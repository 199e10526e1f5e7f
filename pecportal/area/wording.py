"""Dates inside sentences: Italian elides before 8 and 11 ("entro l'8 febbraio"), and leaves out the year that runs."""

from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

from pecportal.formats import elides, in_words, with_dal, with_fino, with_il


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
        form = "j F" if self.day.year == self.today.year else "j F Y"
        return in_words(self.day, form)

    @property
    def il(self) -> str:
        return with_il(self.day, self.written)

    @property
    def dal(self) -> str:
        return with_dal(self.day, self.written)

    @property
    def fino(self) -> str:
        return with_fino(self.day, self.written)

    @property
    def article(self) -> str:
        """What stands before the date where the date is an element of its own."""
        return _("l'") if elides(self.day) else _("il ")
