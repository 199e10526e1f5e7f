import pytest
from django.http import QueryDict

from pecportal.area.filters import Asked


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", Asked()),
        ("scheda=altri&stato=scaduta&q=rossi&ordine=ultima", Asked("altri", "scaduta", "rossi", "ultima")),
        ("scheda=tutte&stato=boh&ordine=a", Asked()),
        ("scheda=&stato=&q=&ordine=", Asked()),
        ("q=++anna++bianchi+", Asked(search="anna bianchi")),
        ("q=a%00b", Asked(search="a b")),
        ("q=%00", Asked()),
        ("q=" + "x" * 5000, Asked(search="x" * 100)),
        ("q=1+2+3+4+5+6+7", Asked(search="1 2 3 4 5")),
        ("scheda=mie&scheda=altri", Asked(tab="altri")),
        ("stato=attiva'--", Asked()),
    ],
)
def test_nonsense_is_not_asked(query, asked):
    assert Asked.of(QueryDict(query).dict() if "scheda=mie&" not in query else QueryDict(query)) == asked


@pytest.mark.parametrize(
    ("asked", "querystring"),
    [
        (Asked(), ""),
        (Asked(tab="altri"), "scheda=altri"),
        (Asked("mie", "attiva", "a&b=c", "ultima"), "scheda=mie&q=a%26b%3Dc&stato=attiva&ordine=ultima"),
    ],
)
def test_the_address_carries_what_was_asked(asked, querystring):
    assert asked.querystring == querystring
    assert Asked.of(QueryDict(querystring)) == asked
