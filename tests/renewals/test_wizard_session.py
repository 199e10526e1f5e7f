"""The wizard between requests: order of the steps, whose answers, an expired sign-in in the middle (R1, R5)."""

from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.urls import reverse

from pecportal import clock
from renewals.answers import Answers
from renewals.models import Order
from tests.renewals.wizard_walk import HOLDER, STANDARD, Walk, url

pytestmark = pytest.mark.django_db

STEPS = ("plan", "holder", "confirm")
LATE = timedelta(minutes=settings.IDLE_MINUTES + 1)


def sign_in(walk: Walk, user) -> None:
    walk.client.force_login(user, backend="accounts.backends.AccountBackend")


# --- Order of the steps -----------------------------------------------------------------------------------------------


def test_a_step_out_of_order_goes_to_the_first_incomplete_one(box, alice):
    walk = Walk(box, alice)
    assert [walk.get(step).get("Location") for step in STEPS] == [None, url("plan", box), url("plan", box)]
    assert walk.holder().url == url("plan", box)
    assert walk.confirm().url == url("plan", box)
    walk.plan()
    assert [walk.get(step).get("Location") for step in STEPS] == [None, None, url("holder", box)]
    assert walk.confirm().url == url("holder", box)
    walk.holder()
    assert [walk.get(step).get("Location") for step in STEPS] == [None, None, None]
    assert Order.objects.count() == 0  # an abandoned wizard leaves no order


def test_going_back_finds_what_was_answered(make_box, alice):
    walk = Walk(make_box(alice, "a", plan="pro"), alice)
    walk.plan(plan="premium", extra_mailbox_premium="3", extra_archive_premium="1")
    walk.holder()
    form = walk.get("plan").context["form"]
    assert [form[n].value() for n in ("plan", "extra_mailbox_premium", "extra_archive_premium")] == ["premium", 3, 1]
    form = walk.get("holder").context["form"]
    assert {name: form[name].value() for name in HOLDER} == {**HOLDER, "phone": "021234567"}


# --- Whose answers ----------------------------------------------------------------------------------------------------


def test_answers_are_kept_under_user_and_box(make_box, alice):
    first, second = make_box(alice, "a"), make_box(alice, "b")
    walk = Walk(first, alice)
    walk.plan(plan="pro")
    other = Walk(second, alice, walk.client)
    assert other.get("holder").url == url("plan", second)
    assert [k for k in walk.client.session.keys() if k.startswith("rinnovo")] == [  # noqa: SIM118
        f"rinnovo:{alice.pk}:{first.public_id}"
    ]


def test_answers_of_an_older_release_are_read_as_far_as_they_go():
    assert Answers.from_dict({"plan": "pro", "colour": "red"}) == Answers(plan="pro")
    assert Answers.from_dict({}) == Answers()


@pytest.mark.parametrize("step", [*STEPS, "summary"])
@pytest.mark.parametrize("who", ["carla", "another mailbox of the account"])
def test_a_strangers_box_is_not_there(make_box, alice, carla, step, who):
    box = make_box(alice, "segreta")
    user = carla if who == "carla" else make_box(alice, "altra").login
    walk = Walk(box, user)
    answers = [walk.post(step, {**STANDARD, **HOLDER})] + ([walk.get(step)] if step != "summary" else [])
    for answer in answers:
        assert answer.status_code == 404
        assert "segreta" not in answer.content.decode()


@pytest.mark.parametrize("step", STEPS)
def test_nobody_is_sent_to_sign_in(box, client, step):
    answer = client.get(url(step, box))
    assert answer.url == f"{reverse('account_login')}?next={url(step, box)}"


# --- The idle limit in the middle -------------------------------------------------------------------------------------

TYPED = {
    "plan": {"plan": "premium", "extra_mailbox_premium": "3", "extra_archive_premium": "7"},
    "holder": {**HOLDER, "address": "via Torino 3", "postal_code": "101", "email": "sbagliata"},
    "confirm": {"method": "transfer", "years": "4", "terms": "on", "immediate_start": "on"},
}


def values(response, names) -> dict[str, str]:
    form = response.context["form"]
    return {name: "on" if form[name].value() is True else form[name].value() for name in names}


@pytest.mark.parametrize("step", STEPS)
def test_a_post_after_the_idle_limit_loses_nothing_for_the_same_user(box, alice, step):
    walk = Walk(box, alice).to_confirm()
    walk.get(step)
    with time_machine.travel(clock.now() + LATE):
        answer = walk.post(step, TYPED[step])
        assert answer.url.startswith(reverse("account_login"))
        sign_in(walk, alice)
        page = walk.get(step)
        assert page.status_code == 200
        assert values(page, TYPED[step]) == TYPED[step]
        assert walk.get("confirm").status_code == 200  # the answers of the steps before are there, too
    assert Order.objects.count() == 0


@pytest.mark.parametrize("step", STEPS)
def test_it_leaves_nothing_to_another_user(make_box, box, alice, step):
    """The mailbox login of the same box, on the same browser: the box is there, none of Alice's answers is."""
    walk = Walk(box, alice).to_confirm()
    walk.get(step)
    with time_machine.travel(clock.now() + LATE):
        walk.post(step, TYPED[step])
        sign_in(walk, box.login)
        assert walk.get("confirm").url == url("plan", box)
        page = walk.get("plan")
        assert page.context["form"]["plan"].value() == "standard"
        walk.plan()
        assert values(walk.get("holder"), ["address", "email"]) == {
            "address": "via Roma 1",
            "email": "alice.contatto@posta.example",
        }


def test_the_live_summary_of_an_ended_sign_in_leaves_the_page_and_what_is_typed_there(box, alice):
    """htmx asks first and ends the sign-in; the form that is sent after it must still be kept."""
    walk = Walk(box, alice)
    walk.get("plan")
    with time_machine.travel(clock.now() + LATE):
        live = walk.post(
            "summary", TYPED["plan"], HX_Request="true", HX_Current_URL=f"http://testserver{url('plan', box)}"
        )
        assert (live.status_code, live.content, "HX-Redirect" in live.headers) == (204, b"", False)
        answer = walk.post("plan", TYPED["plan"])
        assert answer.url.startswith(reverse("account_login"))
        sign_in(walk, alice)
        assert values(walk.get("plan"), TYPED["plan"]) == TYPED["plan"]


def test_a_late_post_of_somebody_who_was_never_signed_in_is_not_kept(box, client):
    client.post(url("plan", box), TYPED["plan"])
    assert "idle_draft" not in client.session
