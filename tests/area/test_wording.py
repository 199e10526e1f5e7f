from datetime import date

import pytest
from django.utils import translation

from pecportal.area.wording import Said

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("day", "il", "dal", "fino"),
    [
        (date(2027, 1, 1), "il 1 gennaio 2027", "dal 1 gennaio 2027", "fino al 1 gennaio 2027"),
        (date(2027, 2, 8), "l'8 febbraio 2027", "dall'8 febbraio 2027", "fino all'8 febbraio 2027"),
        (date(2027, 3, 11), "l'11 marzo 2027", "dall'11 marzo 2027", "fino all'11 marzo 2027"),
        (date(2027, 3, 18), "il 18 marzo 2027", "dal 18 marzo 2027", "fino al 18 marzo 2027"),
        (date(2026, 11, 10), "il 10 novembre", "dal 10 novembre", "fino al 10 novembre"),
        (date(2026, 12, 8), "l'8 dicembre", "dall'8 dicembre", "fino all'8 dicembre"),
    ],
)
def test_dates_in_italian_sentences(day, il, dal, fino):
    said = Said(day, TODAY)
    with translation.override("it"):
        assert (said.il, said.dal, said.fino) == (il, dal, fino)


@pytest.mark.parametrize(("day", "article"), [(date(2027, 2, 8), "l'"), (date(2027, 2, 9), "il ")])
def test_the_article_before_a_date_of_its_own(day, article):
    with translation.override("it"):
        assert Said(day, TODAY).article == article


def test_days_count_from_today():
    assert [Said(date(2026, 11, d), TODAY).days for d in (21, 22, 23)] == [-1, 0, 1]
