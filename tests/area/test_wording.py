from datetime import UTC, date, datetime

import pytest
from django.utils import translation

from pecportal.area.wording import Said
from pecportal.formats import breakable, dal, fino, il

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


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (date(2027, 1, 1), ("il 1 gennaio 2027", "dal 1 gennaio 2027", "fino al 1 gennaio 2027")),
        (date(2027, 2, 8), ("l'8 febbraio 2027", "dall'8 febbraio 2027", "fino all'8 febbraio 2027")),
        (date(2027, 3, 11), ("l'11 marzo 2027", "dall'11 marzo 2027", "fino all'11 marzo 2027")),
        (date(2027, 3, 18), ("il 18 marzo 2027", "dal 18 marzo 2027", "fino al 18 marzo 2027")),
        # 23:30Z of the 7th is the 8th in Rome: the article follows the day that is written
        (
            datetime(2027, 2, 7, 23, 30, tzinfo=UTC),
            ("l'8 febbraio 2027", "dall'8 febbraio 2027", "fino all'8 febbraio 2027"),
        ),
        (None, ("", "", "")),
    ],
)
def test_the_filters_of_mails_and_pages_write_the_whole_date(day, words):
    with translation.override("it"):
        assert (il(day), dal(day), fino(day)) == words


@pytest.mark.parametrize(
    ("name", "html"),
    [
        ("mario.rossi@pec.example", "mario.rossi<wbr>@pec.example"),
        ("rossi.example", "rossi.example"),
        ("<b>@x", "&lt;b&gt;<wbr>@x"),
    ],
)
def test_a_long_address_breaks_before_its_at(name, html):
    assert breakable(name) == html


def test_days_count_from_today():
    assert [Said(date(2026, 11, d), TODAY).days for d in (21, 22, 23)] == [-1, 0, 1]
