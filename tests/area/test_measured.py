"""What a card says of the space: as last measured, with its time; asked only where nothing is known."""

import pytest

from mailboxes import measuring, telling
from mailboxes.platform.local import LocalPlatform
from mailboxes.rules import GB
from pecportal.area.reading import usage_of, with_relations
from tests.area.conftest import page_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch) -> list[list[str]]:
    calls: list[list[str]] = []
    real = LocalPlatform.usage

    def usage(self, addresses):
        calls.append(list(addresses))
        return real(self, addresses)

    monkeypatch.setattr(LocalPlatform, "usage", usage)
    return calls


def test_the_mail_system_is_asked_for_what_was_never_measured(make_box, alice, platform, asked):
    known, new = make_box(alice, "nota"), make_box(alice, "nuova")
    platform.set_usage(known.address.name, 1000)
    telling.tell_platform()
    measuring.measure_due()
    newer = make_box(alice, "nuovissima")
    platform.set_usage(newer.address.name, 3000)
    asked.clear()
    boxes = list(with_relations(type(known).objects.order_by("pk")))
    found = usage_of(boxes)
    assert asked == [[newer.address.name]]
    assert {name.partition("@")[0]: used.mailbox_bytes for name, used in found.items()} == {
        "nota": 1000, "nuova": 0, "nuovissima": 3000,
    }  # fmt: skip
    assert new.address.name in found


def test_a_page_shows_what_was_measured_while_the_mail_system_is_away(signed_in, box, alice, platform, monkeypatch):
    platform.set_usage(box.address.name, int(0.82 * GB))
    telling.tell_platform()
    measuring.measure_due()

    def away(self, addresses):
        raise OSError

    monkeypatch.setattr(LocalPlatform, "usage", away)
    page = " ".join(signed_in(alice).get(page_of(box)).content.decode().split())
    assert "Spazio 0,82 di 1 GB" in page
    assert "82% occupato: quando è piena, la casella non riceve più messaggi." in page
    assert "misurato il" in page or "misurato l&#x27;" in page or "misurato l'" in page


def test_below_seventy_per_cent_nothing_is_said(signed_in, box, alice, platform):
    platform.set_usage(box.address.name, int(0.69 * GB))
    assert "% occupato" not in signed_in(alice).get(page_of(box)).content.decode()
