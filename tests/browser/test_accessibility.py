"""axe finds nothing serious on any page, at 360 and 1280 px, in light and dark; nothing scrolls sideways."""

import pytest
from playwright.sync_api import Page, expect

from mailboxes.models import Mailbox
from payments.providers import sandbox
from renewals.models import Order
from tests.helpers import pay_card, place, start_card

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOOKS = [(360, False), (360, True), (1280, False), (1280, True)]
LONGEST = "a" * 64  # the longest local part a mail address may have
NEXT = "Prosegui e completa l'ordine"


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def check(axe):
    def run(page: Page, path: str = "") -> None:
        if path:
            page.goto(path)
        assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith(("'Atkinson", '"Atkinson'))
        assert axe(page) == [], page.url
        assert fits(page), f"{page.url} scrolls sideways"

    return run


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_pages_before_sign_in(new_page, check, plans, width, dark):
    page = new_page(width=width, dark=dark)
    for path in (
        "/accesso/?con=casella", "/accesso/?con=account", "/accesso/username/", "/accesso/password/dimenticata/",
        "/accesso/casella/recupero/", "/condizioni/", "/questa-pagina-non-esiste/",
    ):  # fmt: skip
        check(page, path)
    page.goto("/accesso/?con=account")
    page.locator("input[name=login]").fill("nessuno@posta.example")
    page.locator("input[name=password]").fill("sbagliata")
    page.get_by_role("button", name="Accedi").click()
    page.wait_for_load_state()
    check(page)


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_every_page_of_an_account(new_page, sign_in, check, alice, make_box, width, dark):
    plain = make_box(alice, "una", plan="premium")
    make_box(alice, LONGEST, expires_in=-12)
    ordered, paid = make_box(alice, "ordinata"), make_box(alice, "pagata")
    make_box(alice, "di.bruno", holder="bruno")
    waiting, done = place(ordered, alice), place(paid, alice)
    pay_card(done, alice)
    attempt = start_card(waiting, alice)
    sandbox.write(attempt.remote_id, status=sandbox.PENDING)
    page = new_page(width=width, dark=dark)
    sign_in(page, alice.username)
    box = f"/area-clienti/pec/{plain.public_id}/"
    order = f"/area-clienti/ordini/{waiting.number}/"
    for path in (
        "/area-clienti/", "/area-clienti/pec/", "/area-clienti/pec/?scheda=altri", box,
        f"/area-clienti/pec/{ordered.public_id}/", "/area-clienti/domini/", "/area-clienti/ordini/",
        "/area-clienti/dati/",
        order, f"{order}esito/", f"{order}paga/", f"{order}bonifico/", f"{order}annulla/",
        f"/area-clienti/ordini/{done.number}/", f"/area-clienti/ordini/{done.number}/esito/",
        f"/area-clienti/pec/{paid.public_id}/", f"{box}rinnovo-automatico/", f"/sandbox/{attempt.remote_id}/",
        f"{box}rinnova/",
    ):  # fmt: skip
        check(page, path)
    page.goto(f"{box}rinnova/")
    with page.expect_response("**/riepilogo/"):
        page.locator("input[name=plan][value=standard]").check()
    expect(page.locator(".htmx-request")).to_have_count(0)
    check(page)
    page.get_by_role("button", name=NEXT).click()  # without the tick for the archive: the step with its errors
    page.wait_for_load_state()
    check(page)
    page.goto(f"{box}rinnova/")
    page.get_by_role("button", name=NEXT).click()
    page.wait_for_load_state()
    check(page)
    page.locator("input[name=email]").fill("una@pec.example")
    page.get_by_role("button", name=NEXT).click()
    page.wait_for_load_state()
    check(page)
    page.locator("input[name=email]").fill("ordine@posta.example")
    page.get_by_role("button", name=NEXT).click()
    page.wait_for_load_state()
    page.locator("input[name=method][value=sandbox]").check()
    check(page)
    assert Order.objects.count() == 2


@pytest.mark.parametrize("boxes", [0, 1, 3, 200])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_gestisci_with_any_number_of_boxes(new_page, sign_in, check, alice, make_box, boxes, width):
    for number in range(boxes):
        make_box(alice, f"casella{number}", expires_in=number - 50)
    page = new_page(width=width)
    sign_in(page, alice.username)
    check(page, "/area-clienti/pec/")
    assert page.locator("article.box").count() == min(boxes, 25)
    assert Mailbox.objects.count() == boxes


def test_at_400_percent_zoom_nothing_is_cut(new_page, sign_in, alice, box):
    page = new_page(width=320)  # 1280 px at 400 %
    sign_in(page, alice.username)
    for path in ("/area-clienti/", "/area-clienti/pec/", f"/area-clienti/pec/{box.public_id}/rinnova/"):
        page.goto(path)
        assert fits(page), path
