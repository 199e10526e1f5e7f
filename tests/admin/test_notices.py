"""Staff find what a customer was told of an expiry, to which address, and whether it arrived (R27)."""

import pytest
from django.urls import reverse
from django.utils.html import escape

from lifecycle import flows
from lifecycle.models import Letter, Notice

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(make_box, alice, carla):
    boxes = [make_box(alice, "alice", expires_in=30), make_box(carla, "carla", expires_in=-1)]
    flows.run_day()
    letter = Letter.objects.get(to="alice.contatto@posta.example")
    Letter.objects.filter(pk=letter.pk).update(state="refused", settled_at=letter.queued_at, detail="550 5.1.1 <no>")
    return boxes


def test_the_page_of_a_box_shows_its_notices_and_their_outcome(staff, told):
    page = staff.get(reverse("admin:mailboxes_mailbox_change", args=[told[0].pk])).content.decode()
    assert "30 giorni prima" in page and "alice.contatto@posta.example" in page and "Rifiutata dal relay" in page
    assert "carla.contatto@posta.example" not in page and "1 giorno dopo" not in page


@pytest.mark.parametrize("model", ["notice", "letter"])
def test_lists_are_searched_by_box_and_filtered_by_state(staff, told, model):
    address = reverse(f"admin:lifecycle_{model}_changelist")
    page = staff.get(address, {"q": "alice@"}).content.decode()
    assert "alice.contatto@posta.example" in page and "carla.contatto@posta.example" not in page
    state = {"notice": "no_address", "letter": "refused"}[model]
    page = staff.get(address, {"state__exact": state}).content.decode()
    assert "carla.contatto@posta.example" not in page
    assert (escape("550 5.1.1 <no>") in page) is (model == "letter")


def test_a_letter_names_the_boxes_it_is_about(staff, told):
    letter = Letter.objects.get(to="carla@posta.example")
    page = staff.get(reverse("admin:lifecycle_letter_change", args=[letter.pk])).content.decode()
    assert "carla@pec.example" in page and "1 giorno dopo" in page and "alice@pec.example" not in page


def test_nobody_writes_them(staff, told):
    for row in (Notice.objects.first(), Letter.objects.first()):
        address = reverse(f"admin:lifecycle_{row._meta.model_name}_change", args=[row.pk])
        assert staff.post(address, {"state": "told"}).status_code == 403
