"""Metodi di pagamento: added, replaced, default, taken away, of the login that gave them (R24, R24b)."""

from datetime import timedelta
from decimal import Decimal as D
from html import unescape
from unittest import mock

import pytest
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from mailboxes.models import Price
from payments import auto_renewal, charging, setups, wallet
from payments.models import AutoRenewal, MethodSetup, Payment, ScheduledCharge, StoredMethod
from payments.providers import sandbox
from payments.providers.base import Outcome, ProviderTimeoutError, Result, SavedMethod
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import il
from renewals.models import Order
from tests.payments.charging_helpers import automatic, beat, card, forget_mails, fresh, on, subjects
from tests.payments.test_outcome import words

pytestmark = pytest.mark.django_db
LIST = "/area-clienti/metodi-di-pagamento/"
DETAILS = ("method_replace", "method_default", "method_remove")


@pytest.fixture
def box(make_box, alice):
    return make_box(alice, "alice", expires_in=60)


@pytest.fixture
def method(alice):
    return card(alice)


@pytest.fixture
def client(browser_of, alice):
    return browser_of(alice)


def add(client, path: str = "aggiungi/") -> StoredMethod:
    """As a browser does: choose, go to the provider, come back."""
    away = client.post(LIST + path, {"provider": "sandbox"})
    back = client.get(away.headers["Location"])
    assert back.headers["Location"] == LIST
    return StoredMethod.objects.latest("id")


# --- The page ---------------------------------------------------------------------------------------------------------


def test_the_contract_address_and_an_empty_page(client):
    assert reverse("payments:methods") == LIST
    text = words(client.get(LIST))
    assert "Nessun metodo salvato" in text and "Aggiungi" in text


def test_what_a_method_pays_with_day_and_amount(client, box, alice, method):
    automatic(box, alice, method, days_before=60, years=2)
    text = words(client.get(LIST))
    assert "Carta •••• 4242 Predefinito" in text and "Scade a dicembre 2099." in text
    assert f"alice @pec.example: {il(box.expires_on - timedelta(days=7))}, € 24,16 per 2 anni" in text
    assert "La carta scade prima" not in text


def test_a_charge_that_is_late_is_named_today(browser_of, box, alice, method):
    automatic(box, alice, method, days_before=60)
    with on(box.expires_on - timedelta(days=30)):
        charging.run()
    late = box.expires_on - timedelta(days=6)
    with on(late):
        assert f"alice @pec.example: {il(late)}, € 12,08" in words(browser_of(alice).get(LIST))


def test_a_card_that_expires_before_its_next_charge_is_said_with_what_to_do(client, box, alice, method):
    automatic(box, alice, method, days_before=60)
    day = box.expires_on - timedelta(days=7)
    before = day.replace(day=1) - timedelta(days=1)
    StoredMethod.objects.update(expires_month=before.month, expires_year=before.year)
    text = words(client.get(LIST))
    assert f"La carta scade prima dell'addebito: {il(day)}, per alice@pec.example. Sostituiscila" in text


def test_the_page_costs_the_same_with_one_and_with_thirty_boxes(
    client, alice, make_box, method, django_assert_num_queries
):
    automatic(make_box(alice, "una", expires_in=60), alice, method, days_before=60)
    client.get(LIST)
    with django_assert_num_queries(4):
        client.get(LIST)
    for n in range(5):
        automatic(make_box(alice, f"n{n}", expires_in=60), alice, method, days_before=60)
    with django_assert_num_queries(4):
        assert words(client.get(LIST)).count("@pec.example") == 6


# --- Added ------------------------------------------------------------------------------------------------------------


def test_the_first_method_is_the_default_and_the_second_is_not(client, alice):
    first, second = add(client), add(client)
    assert [m.is_default for m in StoredMethod.objects.order_by("id")] == [True, False]
    assert {first.login, second.login} == {alice}
    client.post(f"{LIST}{second.public_id}/predefinito/")
    client.post(f"{LIST}{second.public_id}/predefinito/")
    assert [m.is_default for m in StoredMethod.objects.order_by("id")] == [False, True]


def test_nothing_chosen_is_a_sentence(client):
    for typed in ({}, {"provider": "transfer"}, {"provider": "x"}):
        assert "Scegli uno dei metodi elencati." in words(client.post(LIST + "aggiungi/", typed))
    assert MethodSetup.objects.count() == 0


def test_coming_back_twice_saves_once(client):
    away = client.post(LIST + "aggiungi/", {"provider": "sandbox"}).headers["Location"]
    client.get(away)
    client.get(away)
    assert StoredMethod.objects.count() == 1


def test_a_provider_that_is_silent_saves_nothing_and_says_so(client):
    with mock.patch.object(sandbox.Sandbox, "start_setup", side_effect=ProviderTimeoutError):
        text = words(client.post(LIST + "aggiungi/", {"provider": "sandbox"}))
    assert "la banca non risponde: non abbiamo salvato nulla" in text
    away = client.post(LIST + "aggiungi/", {"provider": "sandbox"}).headers["Location"]
    with mock.patch.object(sandbox.Sandbox, "fetch_setup", side_effect=ProviderTimeoutError):
        client.get(away)
    assert StoredMethod.objects.count() == 0
    client.get(away)
    assert StoredMethod.objects.count() == 1


def test_a_refused_setup_is_over(client):
    away = client.post(LIST + "aggiungi/", {"provider": "sandbox"}).headers["Location"]
    with mock.patch.object(sandbox.Sandbox, "fetch_setup", return_value=Outcome(Result.FAILED)):
        assert "non è stato salvato" in words(client.get(away, follow=True))
    client.get(away)
    assert (StoredMethod.objects.count(), MethodSetup.objects.get().status) == (0, "failed")


def test_a_method_that_another_login_gave_is_not_taken_over(client, carla):
    hers = card(carla, remote_id="shared")
    away = client.post(LIST + "aggiungi/", {"provider": "sandbox"}).headers["Location"]
    given = Outcome(Result.REGISTERED, saved=SavedMethod("shared", "Carta"))
    with mock.patch.object(sandbox.Sandbox, "fetch_setup", return_value=given):
        client.get(away)
    hers.refresh_from_db()
    assert (hers.login, StoredMethod.objects.count(), MethodSetup.objects.get().status) == (carla, 1, "failed")


# --- Replaced ---------------------------------------------------------------------------------------------------------


def test_replacing_moves_the_automatic_renewals_and_a_mail_says_so(client, box, alice, method):
    automatic(box, alice, method, days_before=60)
    forget_mails()
    text = words(client.get(f"{LIST}{method.public_id}/sostituisci/"))
    assert "Questi rinnovi automatici passano al nuovo metodo" in text and "alice @pec.example" in text
    new = add(client, f"{method.public_id}/sostituisci/")
    consent = AutoRenewal.objects.get()
    assert (consent.method, consent.ended_at, consent.amount) == (new, None, D("12.08"))
    method.refresh_from_db()
    assert (method.removed_at is not None, method.is_default, new.is_default) == (True, False, True)
    assert subjects() == ["Metodo di pagamento sostituito: ora è Carta di prova •••• 5556"]
    assert "alice@pec.example, scade" in Email.objects.get().message
    beat(box.expires_on - timedelta(days=30))
    beat(box.expires_on - timedelta(days=7))
    assert Payment.objects.get().method == new


def test_a_replaced_card_is_used_by_the_next_try(client, box, alice, method):
    automatic(box, alice, method, days_before=60)
    e = box.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - timedelta(days=30))
    beat(e - timedelta(days=7))
    new = add(client, f"{method.public_id}/sostituisci/")
    beat(e - timedelta(days=5))
    assert [p.method for p in Payment.objects.order_by("id")] == [method, new]
    assert ScheduledCharge.objects.get().status == "charged"


# --- Taken away -------------------------------------------------------------------------------------------------------


def test_the_page_of_removal_says_what_stops_and_then_it_stops(client, box, alice, method):
    automatic(box, alice, method, days_before=20)
    forget_mails()
    page = f"{LIST}{method.public_id}/rimuovi/"
    text = words(client.get(page))
    assert "Un rinnovo automatico si disattiva" in text and f"alice @pec.example: scade {il(box.expires_on)}" in text
    assert AutoRenewal.objects.get().ended_at is None  # a GET removes nothing
    client.post(page)
    consent = AutoRenewal.objects.get()
    assert (consent.ended_why, fresh(box).auto_renews) == ("method_removed", False)
    assert ScheduledCharge.objects.get().status == "cancelled"
    assert subjects() == ["Metodo di pagamento rimosso: Carta •••• 4242"]
    assert "- alice@pec.example, scade" in Email.objects.filter(to=["alice@posta.example"]).get().message
    assert subjects(to="alice.contatto@posta.example") == ["*: rinnovo automatico disattivato"]
    assert client.post(page).status_code == 404
    for before in (7, 0):
        beat(box.expires_on - timedelta(days=before))
    assert Order.objects.count() == 0


def test_the_default_passes_to_the_newest_of_the_others(alice):
    first, second = card(alice), card(alice, remote_id="card_2", is_default=False)
    wallet.remove(user=alice, method_id=first.pk)
    second.refresh_from_db()
    assert second.is_default
    wallet.remove(user=alice, method_id=second.pk)
    assert wallet.mine(alice).count() == 0


def test_with_a_live_charge_it_is_refused_and_says_why(client, box, alice, method):
    automatic(box, alice, method, days_before=60)
    sandbox.tell(method, status=sandbox.TIMEOUT)
    e = box.expires_on
    with on(e - timedelta(days=30)):
        charging.run()
    with on(e - timedelta(days=7)):
        charging.run()
    assert Payment.objects.get().status == "unknown"
    page = f"{LIST}{method.public_id}/rimuovi/"
    for answer in (client.get(page), client.post(page)):
        assert "Adesso non si può rimuovere" in words(answer) and "è in corso" in words(answer)
    with pytest.raises(RefusedError):
        wallet.remove(user=alice, method_id=method.pk)
    method.refresh_from_db()
    assert (method.removed_at, fresh(box).auto_renews) == (None, True)


def test_between_two_tries_it_says_that_the_order_stays_open(client, box, alice, method):
    automatic(box, alice, method, days_before=60)
    e = box.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - timedelta(days=30))
    beat(e - timedelta(days=7))
    page = f"{LIST}{method.public_id}/rimuovi/"
    assert "L'ordine di rinnovo resta aperto" in words(client.get(page))
    client.post(page)
    assert (ScheduledCharge.objects.get().status, Order.objects.get().status) == ("cancelled", "awaiting_payment")
    beat(e - timedelta(days=5))
    assert Payment.objects.count() == 1


def test_the_provider_forgets_after_the_commit_and_is_asked_again_if_it_was_away(alice, method):
    wallet.remove(user=alice, method_id=method.pk)
    with mock.patch.object(sandbox.Sandbox, "forget", side_effect=ProviderTimeoutError) as forget:
        assert wallet.forget_removed() == 0
    with mock.patch.object(sandbox.Sandbox, "forget") as forget:
        assert wallet.forget_removed() == 1
        assert forget.call_args.args == (method,)
    StoredMethod.objects.update(removed_at=clock.now() - timedelta(days=8))
    with mock.patch.object(sandbox.Sandbox, "forget") as forget:
        assert wallet.forget_removed() == 0
        assert not forget.called


# --- Whose it is (R24b, R1) -------------------------------------------------------------------------------------------


def test_somebody_elses_method_does_not_exist(box, alice, carla, make_box, method, browser_of):
    automatic(box, alice, method, days_before=60)
    setup = MethodSetup.objects.create(login=alice, provider="sandbox")
    urls = [reverse(f"payments:{name}", args=[method.public_id]) for name in DETAILS]
    urls.append(reverse("payments:method_return", args=[setup.public_id]))
    for user in (carla, box.login, make_box(alice, "altra").login, make_box(carla, "carla").login):
        client = browser_of(user)
        for url in urls:
            for send in (client.get, client.post):
                assert send(url).status_code in (404, 405), (user, url)
        assert "4242" not in unescape(client.get(LIST).content.decode())
    method.refresh_from_db()
    setup.refresh_from_db()
    assert (method.removed_at, method.is_default, setup.status, fresh(box).auto_renews) == (None, True, "open", True)
    for url in urls:
        assert Client().get(url).status_code in (302, 405)


def test_a_mailbox_login_has_methods_of_its_own(box, alice, method, browser_of):
    client = browser_of(box.login)
    own = add(client)
    assert (own.login, own.is_default) == (box.login, True)
    text = words(client.get(LIST))
    assert "5556" in text and "4242" not in text
    automatic(box, box.login, own, days_before=20)
    forget_mails()
    client.post(f"{LIST}{own.public_id}/rimuovi/")
    assert subjects(to="alice.contatto@posta.example") == ["Metodo di pagamento rimosso: Carta di prova •••• 5556"]
    assert subjects() == ["*: rinnovo automatico disattivato"]  # the account is told of the box, not of the card


def test_setups_start_leaves_a_row_before_the_network(alice):
    with (
        mock.patch.object(sandbox.Sandbox, "start_setup", side_effect=ProviderTimeoutError),
        pytest.raises(RefusedError),
    ):
        setups.start(user=alice, provider="sandbox", return_url=lambda s: "/", cancel_url="/")
    assert MethodSetup.objects.get().status == "open"


# --- Consent on the page (R24) ----------------------------------------------------------------------------------------


def test_the_page_shows_old_and_new_amount_and_the_post_consents(client, box, alice, method):
    automatic(box, alice, method, days_before=60)
    today = clock.today()
    e = today + timedelta(days=25)
    type(box).objects.filter(pk=box.pk).update(expires_on=e, delete_from=e + timedelta(days=91))
    standard = Price.objects.get(item="plan", plan__code="standard")
    Price.objects.create(item="plan", plan=standard.plan, valid_from=today, net=D("20.00"))
    charging.run()
    page = reverse("payments:auto_renewal", args=[box.public_id])
    text = words(client.get(page))
    assert "Importo accettato € 12,08 Nuovo importo € 24,40" in text
    listed = words(client.get(reverse("area:gestisci")))
    assert "L'importo è cambiato: da € 12,08 a € 24,40. Non addebitiamo nulla finché non lo accetti." in listed
    refused = words(client.post(page + "importo/", {"shown": "12.08"}, follow=True))
    assert "L'importo è cambiato ancora da quando hai aperto la pagina: controlla quello nuovo." in refused
    assert AutoRenewal.objects.count() == 1
    client.post(page + "importo/", {"shown": "24.40"})
    assert AutoRenewal.objects.get(ended_at=None).amount == D("24.40")
    assert ScheduledCharge.objects.get().status == "announced"
    assert "L'importo è cambiato" not in words(client.get(page))


# --- Told until it is confirmed ---------------------------------------------------------------------------------------


def test_a_provider_that_is_away_for_weeks_is_told_until_it_confirms(client, method):
    client.post(f"{LIST}{method.public_id}/rimuovi/")
    today = clock.today()
    with mock.patch.object(sandbox.Sandbox, "forget", side_effect=ProviderTimeoutError) as asked:
        for later in (0, 8, 40):
            with on(today + timedelta(days=later)):
                assert wallet.forget_removed() == 0
        assert asked.call_count == 3
    with mock.patch.object(sandbox.Sandbox, "forget") as asked:
        with on(today + timedelta(days=41)):
            assert (wallet.forget_removed(), asked.call_count) == (1, 1)
            moment = clock.now()
        with on(today + timedelta(days=42)):
            assert (wallet.forget_removed(), asked.call_count) == (0, 1)  # confirmed: never again
    assert StoredMethod.objects.get().forgotten_at == moment


def test_one_that_cannot_be_forgotten_does_not_keep_the_others(client, alice, method):
    stubborn = card(alice, remote_id="stubborn", is_default=False)
    for each in (method, stubborn):
        client.post(f"{LIST}{each.public_id}/rimuovi/")

    def forget(self, found):
        if found.pk == stubborn.pk:
            raise ValueError("not today")

    with mock.patch.object(sandbox.Sandbox, "forget", forget):
        assert wallet.forget_removed() == 1
    assert StoredMethod.objects.get(forgotten_at=None) == stubborn


def test_a_method_given_again_is_forgotten_again_when_it_is_taken_away_again(client, alice):
    method = add(client)
    client.post(f"{LIST}{method.public_id}/rimuovi/")
    wallet.forget_removed()
    saved = SavedMethod(method.remote_id, method.label)
    auto_renewal.keep_method(login=alice, provider="sandbox", saved=saved)
    method.refresh_from_db()
    assert (method.removed_at, method.forgotten_at) == (None, None)
    client.post(f"{LIST}{method.public_id}/rimuovi/")
    assert wallet.forget_removed() == 1


def test_given_again_while_the_provider_was_asked_it_is_not_forgotten(client, alice, method):
    client.post(f"{LIST}{method.public_id}/rimuovi/")

    def forget(self, found):
        saved = SavedMethod(found.remote_id, found.label)
        auto_renewal.keep_method(login=alice, provider="sandbox", saved=saved)

    with mock.patch.object(sandbox.Sandbox, "forget", forget):
        assert wallet.forget_removed() == 0
    assert StoredMethod.objects.get().forgotten_at is None


# --- Left open --------------------------------------------------------------------------------------------------------


@pytest.fixture
def left(client):
    """Alice went to the provider's page and never came back."""
    client.post(LIST + "aggiungi/", {"provider": "sandbox"})
    return MethodSetup.objects.get()


def sweep_after(**time) -> int:
    with on(clock.today() + timedelta(**time)):
        return setups.close_left_open()


PENDING = mock.patch.object(sandbox.Sandbox, "fetch_setup", return_value=Outcome(Result.PENDING))
AWAY = mock.patch.object(sandbox.Sandbox, "fetch_setup", side_effect=ProviderTimeoutError)


def test_a_setup_left_open_is_closed_after_a_day(left):
    with PENDING:
        assert setups.close_left_open() == 0
        assert MethodSetup.objects.get().status == "open"
        assert (sweep_after(days=2), sweep_after(days=3)) == (1, 0)
    assert (MethodSetup.objects.get().status, StoredMethod.objects.count()) == ("failed", 0)


def test_what_was_given_there_is_kept_before_it_is_closed(left, alice):
    given = Outcome(Result.REGISTERED, saved=SavedMethod("card_late", "Carta •••• 4242", 12, 2099))
    with mock.patch.object(sandbox.Sandbox, "fetch_setup", return_value=given):
        assert sweep_after(days=2) == 0
    assert MethodSetup.objects.get().status == "done"
    assert (StoredMethod.objects.get().login, StoredMethod.objects.get().remote_id) == (alice, "card_late")


def test_a_provider_that_is_away_is_asked_about_it_for_a_week(left):
    with AWAY:
        assert (sweep_after(days=2), sweep_after(days=6)) == (0, 0)
        assert MethodSetup.objects.get().status == "open"
        assert sweep_after(days=9) == 1
    assert MethodSetup.objects.get().status == "failed"
