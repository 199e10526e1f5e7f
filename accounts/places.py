"""Provinces and countries, for forms and checks."""

import gettext
from functools import cache

import pycountry
from django.utils.translation import get_language
from localflavor.it.it_province import PROVINCE_CHOICES

PROVINCES: dict[str, str] = {code: str(name) for code, name in PROVINCE_CHOICES}
ITALY = "IT"


def province_choices() -> list[tuple[str, str]]:
    """The 107 provinces by name, after an empty choice."""
    return [("", ""), *((code, f"{name} ({code})") for code, name in PROVINCES.items())]


def country_choices() -> list[tuple[str, str]]:
    """The countries of ISO 3166-1 by their name in the language of the page, Italy first."""
    return _countries((get_language() or "it").split("-")[0])


def is_country(code: str) -> bool:
    return code in {known for known, _ in _countries("it")}


@cache
def _countries(language: str) -> list[tuple[str, str]]:
    names = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
    named = [(c.alpha_2, names.gettext(getattr(c, "common_name", c.name))) for c in pycountry.countries]
    return sorted(named, key=lambda country: (country[0] != ITALY, country[1]))
