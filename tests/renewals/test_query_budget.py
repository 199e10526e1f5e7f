"""A complete renewal stays within a budget of queries: the statements that read or write rows.

By transfer from the sign-in to the outcome; by card to the bank's page, with the attempt that begins there. On the way
back from the bank the same request registers the money, gives the years and switches automatic renewal on: each a
locked row and an event row. A query less is not always quicker: a box read together with its open lines, eleven tables
in one, takes PostgreSQL longer to plan than the two queries take to answer.
"""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from payments.providers import sandbox
from renewals.models import Order
from tests.conftest import PASSWORD
from tests.renewals.wizard_walk import CONFIRM, HOLDER, STANDARD, url

pytestmark = pytest.mark.django_db(transaction=True)
BUDGET = {"transfer": 60, "sandbox": 64}
ON_THE_WAY_BACK = 50
NOT_QUERIES = re.compile(r"^(BEGIN|COMMIT|SAVEPOINT|RELEASE|ROLLBACK)", re.IGNORECASE)


def counted(captured: CaptureQueriesContext) -> list[str]:
    return [q["sql"] for q in captured.captured_queries if not NOT_QUERIES.match(q["sql"])]


@pytest.mark.parametrize("who", ["account", "mailbox"])
@pytest.mark.parametrize("method", ["transfer", "sandbox"])
def test_a_complete_renewal(box, alice, who, method):
    client = Client()
    login = alice.username if who == "account" else str(box)
    # An account lands on the home and goes Gestisci; a mailbox login lands on its box's page.
    landings = [f"/area-clienti/pec/{box.public_id}/"] if who == "mailbox" else ["/area-clienti/", "/area-clienti/pec/"]
    spent: dict[str, list[str]] = {}
    back: dict[str, list[str]] = {}

    def ask(name: str, send, into=spent) -> object:
        with CaptureQueriesContext(connection) as captured:
            response = send()
        assert response.status_code in (200, 302), (name, response.status_code)
        into[name] = counted(captured)
        return response

    ask("GET accesso", lambda: client.get("/accesso/"))
    ask("POST accesso", lambda: client.post("/accesso/", {"login": login, "password": PASSWORD}))
    for path in landings:
        ask(f"GET {path}", lambda p=path: client.get(p))
    for step, data in (("plan", STANDARD), ("holder", HOLDER), ("confirm", {**CONFIRM, "method": method})):
        ask(f"GET {step}", lambda s=step: client.get(url(s, box)))
        reply = ask(f"POST {step}", lambda s=step, d=data: client.post(url(s, box), d))
    if method == "sandbox":
        attempt = sandbox.read(reply.url.strip("/").rpartition("/")[2])
        sandbox.write(reply.url.strip("/").rpartition("/")[2], status=sandbox.PAID)
        reply = ask("GET ritorno", lambda: client.get(attempt["return_url"]), into=back)
    ask("GET esito", lambda: client.get(reply.url), into=back if method == "sandbox" else spent)
    assert Order.objects.get().status == ("fulfilled" if method == "sandbox" else "awaiting_payment")
    for asked, most in ((spent, BUDGET[method]), (back, ON_THE_WAY_BACK)):
        total = sum(map(len, asked.values()))
        shown = "\n".join(f"{len(sqls):3} {name}" for name, sqls in asked.items())
        assert total <= most, f"{total} queries\n{shown}\n\n" + "\n".join(
            f"{n}: {q[:230]}" for n, qs in asked.items() for q in qs
        )
