"""Letters: who gets one mail about what, claimed once, whatever two workers or a kill do (R27)."""

import logging
import threading
from collections import Counter
from datetime import date, timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from post_office.models import Email

from accounts.models import User
from lifecycle import flows, letters, notices, stages
from lifecycle.letters import telling
from lifecycle.letters.composing import Digest, Item
from lifecycle.models import Letter, LifecycleRun, Notice
from mailboxes.flows import open_box, open_domain
from mailboxes.models import Address, Holder, Mailbox
from mailboxes.models.boxes import Phase
from payments.models import Payment
from pecportal import clock
from renewals.models import Order
from tests.conftest import holder_of
from tests.helpers import place, start_card
from tests.lifecycle.letter_helpers import at, noticed, queued
from tests.lifecycle.test_races import at_once

pytestmark = pytest.mark.django_db
ALICE, HOLDER = "alice@posta.example", "alice.contatto@posta.example"


@pytest.fixture(autouse=True)
def _calendar(settings):
    settings.NOTICE_DAYS = [-90, -60, -30, -15, -7, -1, 1, 30, 60, 83, 89]


def work(stage: str, today, **kwargs) -> stages.Work:
    run, _created = LifecycleRun.objects.get_or_create(stage=stage, day=today)
    return stages.Work(run, today=today, **kwargs)


def owe(today) -> None:
    stages.owe_notices(work("notices", today))


def tell(today, **kwargs) -> None:
    stages.send_letters(work("letters", today, **kwargs))


def holders(owner: User, count: int) -> list[Holder]:
    first = Holder.objects.filter(owner=owner).first()
    copied = {f.attname: getattr(first, f.attname) for f in Holder._meta.concrete_fields if f.attname != "id"}
    return Holder.objects.bulk_create(
        Holder(**{**copied, "fiscal_key": f"K{n}", "contact_email": f"titolare{n:02}@posta.example"})
        for n in range(count)
    )


def copies(box: Mailbox, count: int, **changes) -> list[Mailbox]:
    names = [f"copia{n:03}@pec.example" for n in range(count)]
    addresses = Address.objects.bulk_create([Address(name=name, host="pec.example") for name in names])
    copied = {f.attname: getattr(box, f.attname) for f in Mailbox._meta.concrete_fields}
    for name in ("id", "public_id", "address_id", "login_id"):
        copied.pop(name)
    made = [Mailbox(**copied, address=address) for address in addresses]
    for n, one in enumerate(made):
        for name, value in changes.items():
            setattr(one, name, value(n))
    return Mailbox.objects.bulk_create(made)


# --- One mail a day and address ---------------------------------------------------------------------------------------


def test_an_account_of_200_boxes_gets_one_mail_and_each_of_60_holders_one_of_his_own(make_box, alice, carla, today):
    """And nobody reads of a box that is not his."""
    first = make_box(alice, "prima", expires_in=30)
    make_box(carla, "carla", expires_in=30)
    sixty = holders(alice, 60)
    copies(first, 199, holder=lambda n: sixty[n % 60])
    flows.run_day()
    to = Counter(mail.to[0] for mail in Email.objects.all())
    assert len(to) == 1 + 1 + 60 + 2 and set(to.values()) == {1}
    account = Email.objects.get(to=[ALICE])
    assert account.subject.startswith("200 caselle PEC scadono ")
    assert account.message.count("@pec.example ·") == 200 == account.html_message.count("<wbr>@pec.example")
    assert "carla" not in account.message + account.html_message
    own = Email.objects.get(to=["titolare59@posta.example"])  # copies 59, 119, 179
    assert own.subject.startswith("3 caselle PEC scadono ")
    assert [n for n in range(199) if f"copia{n:03}@" in own.message + own.html_message] == [59, 119, 179]
    assert Letter.objects.count() == 64 and Notice.objects.filter(state="told").count() == 201
    assert Letter.objects.get(to=ALICE).notices.count() == 200
    assert Notice.objects.get(box=first).letters.count() == 2


def test_one_box_for_an_address_is_its_own_mail(make_box, alice, today):
    make_box(alice, "una", expires_in=30)
    make_box(alice, "due", expires_in=15, holder="bruno")
    flows.run_day()
    assert {to: subject.split(" ")[0] for to, subject in queued()} == {
        HOLDER: "una@pec.example", "bruno.contatto@posta.example": "due@pec.example", ALICE: "2",
    }  # fmt: skip


def test_at_most_five_hundred_boxes_in_a_mail(make_box, alice, today, monkeypatch):
    monkeypatch.setattr(telling, "MOST_IN_A_LETTER", 5)
    copies(make_box(alice, "prima", expires_in=30), 11)
    Holder.objects.update(contact_email=ALICE)
    flows.run_day()
    assert sorted(subject.split()[0] for _to, subject in queued()) == ["2", "5", "5"]


def test_accounts_are_cut_only_where_one_alone_is_too_many(make_box, alice, carla, dario, today):
    for n in range(3):
        make_box(alice, f"a{n}", expires_in=30)
    for n in range(2):
        make_box(carla, f"c{n}", expires_in=30)
    owe(today)
    of = {n.pk: n.box.address.name[0] for n in Notice.objects.all()}
    found = {
        size: ["".join(of[pk] for pk in ids) for ids in letters.batches(letters.due(), size)] for size in (2, 4, 9)
    }
    assert found == {2: ["aa", "a", "cc"], 4: ["aaa", "cc"], 9: ["aaacc"]}


def test_not_to_an_address_on_a_domain_hosted_here(make_box, alice, today):
    open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=200)
    )
    make_box(alice, "una", expires_in=30)
    for contact in ("info@pec.rossi.example", "INFO@Pec.Rossi.Example", "non un indirizzo", "a@pec.example"):
        Holder.objects.update(contact_email=contact)
        assert letters.readable(Mailbox.objects.all()) == {Mailbox.objects.get().pk: [ALICE]}


# --- Looking again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"expires_on": timedelta(days=395), "delete_from": timedelta(days=486)},  # renewed
        {"phase": Phase.DELETING, "login": None},
        {"auto_renews": True},  # will renew by itself now
        {"delete_from": timedelta(days=0), "expires_on": timedelta(days=-10)},
    ],
)
def test_what_is_no_longer_true_is_not_told(make_box, alice, today, change):
    box, control = make_box(alice, "una", expires_in=30), make_box(alice, "controllo", expires_in=30)
    owe(today)
    dates = {name: today + value if isinstance(value, timedelta) else value for name, value in change.items()}
    Mailbox.objects.filter(pk=box.pk).update(**dates)
    tell(today)
    assert noticed() == [(control.address.name, -30, "told"), (box.address.name, -30, "moot")]
    assert {subject.split()[0] for _to, subject in queued()} == {"controllo@pec.example"}
    run = LifecycleRun.objects.get(stage="letters")
    assert (run.done, run.failed) == (2, 0)


def test_what_was_put_aside_is_owed_again_when_it_is_true_again(make_box, alice, today):
    box = make_box(alice, "una", expires_in=30)
    owe(today)
    Mailbox.objects.filter(pk=box.pk).update(auto_renews=True)
    tell(today)
    flows.run_day()
    assert noticed() == [(box.address.name, -30, "moot")]
    Mailbox.objects.filter(pk=box.pk).update(auto_renews=False)
    flows.run_day()
    assert noticed() == [(box.address.name, -30, "told")] and len(queued()) == 2


def test_a_later_point_puts_an_untold_one_aside(make_box, alice, today):
    box = make_box(alice, "una", expires_in=30)
    owe(today)  # and the letters' stage never ran
    day = today + timedelta(days=15)
    with at(day):
        owe(day)
        assert noticed() == [(box.address.name, -30, "moot"), (box.address.name, -15, "due")]
        assert notices.unsent().due == 1
        tell(day)
    assert noticed() == [(box.address.name, -30, "moot"), (box.address.name, -15, "told")] and len(queued()) == 2


def test_a_further_warning_of_the_deletion_is_the_last_call(make_box, alice, today):
    box = make_box(alice, "una", expires_in=-98)
    late = make_box(alice, "tarda", expires_in=-98)
    now = clock.now()
    Notice.objects.create(box=box, owner=alice, expiry=box.expires_on, kind=98, created_at=now)
    Notice.objects.create(box=late, owner=alice, expiry=late.expires_on, kind=89, created_at=now)
    flows.run_day()
    assert noticed() == [
        ("tarda@pec.example", 89, "moot"),
        ("tarda@pec.example", 98, "due"),  # found by the deletion of this run, told by the next
        ("una@pec.example", 98, "told"),
    ]
    assert {subject for _to, subject in queued()} == {"una@pec.example è scaduta e sta per essere cancellata"}
    text = " ".join(Email.objects.first().message.split())
    assert "L'ultimo giorno per rinnovarla era" in text and "salva subito i messaggi" in text and "Rinnova" not in text


# --- Words of a digest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "heading"),
    [
        ((30, 30), "2 caselle PEC scadono il 1 gennaio 2027"),
        ((30, 15, 7), "3 caselle PEC scadono: la prima il 9 dicembre 2026"),
        ((-1, -1), "2 caselle PEC sono scadute: rinnovabili entro il 1 marzo 2027"),
        ((-1, -30), "2 caselle PEC sono scadute: la prima è rinnovabile entro il 31 gennaio 2027"),
        ((30, -1), "1 casella PEC scade, 1 è scaduta: la data più vicina è il 1 gennaio 2027"),
        ((30, 30, -1, -89), "2 caselle PEC scadono, 2 sono scadute: la data più vicina è il 3 dicembre 2026"),
        ((-98, -98), "2 caselle PEC stanno per essere cancellate"),
        ((-1, -98), "1 casella PEC è scaduta, 1 sta per essere cancellata: la data più vicina è il 1 marzo 2027"),
    ],
)
def test_the_first_line_says_how_many_and_the_nearest_date(plans, alice, days, heading):

    today = date(2026, 12, 2)
    with at(today):
        made = [
            open_box(
                address=f"g{n}@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard,
                expires_on=today + timedelta(days=d),
            )
            for n, d in enumerate(days)
        ]  # fmt: skip
        found = Digest([Item(Notice(), box, None, today) for box in made]).heading
    assert found == heading


def test_each_line_says_what_when_and_what_to_do(make_box, alice, today):
    boxes = {
        name: make_box(alice, name, expires_in=days)
        for name, days in {"rinnova": 30, "ordine": 15, "dubbia": 16, "lavoro": 7, "auto": 1, "scaduta": -1}.items()
    }
    placed, at_work = place(boxes["ordine"], alice), place(boxes["lavoro"], alice)
    Order.objects.filter(pk=at_work.pk).update(status="attention")
    in_doubt = place(boxes["dubbia"], alice)
    Payment.objects.filter(pk=start_card(in_doubt, alice).pk).update(status="unknown")
    Mailbox.objects.filter(pk=boxes["auto"].pk).update(auto_renews=True, auto_over_for=boxes["auto"].expires_on)
    Email.objects.all().delete()
    flows.run_day()
    lines = [line for line in Email.objects.get(to=[ALICE]).message.splitlines() if line.startswith("- ")]
    assert [(line.split(" ")[1].split("@")[0], line.rpartition(" · ")[2]) for line in lines] == [
        ("auto", "l'addebito automatico non ci sarà: Rinnova"),
        ("lavoro", f"ordine {at_work.number} in lavorazione"),
        ("ordine", f"ordine {placed.number} da pagare"),
        ("dubbia", f"ordine {in_doubt.number}: pagamento in verifica, non pagare di nuovo"),
        ("rinnova", "Rinnova"),
        ("scaduta", "Rinnova"),
    ]
    assert ", domani; rinnovabile fino al" in lines[0] and " · scaduta " in lines[5]
    text = Email.objects.get(to=[ALICE]).message
    assert (
        text.index("Scadono (5)") < text.index("- auto") < text.index("Scadute: sola lettura (1)") < text.index("- sc")
    )
    assert text.count("http") == 1 and "€" not in text


@pytest.mark.parametrize(
    ("status", "checking", "words"),
    [
        ("awaiting_payment", False, "ordine del dominio rossi.example da pagare"),
        ("awaiting_payment", True, "rinnovo del dominio rossi.example in lavorazione"),
        ("attention", False, "rinnovo del dominio rossi.example in lavorazione"),
    ],
)
def test_a_box_of_a_domain_with_an_order_says_so_without_its_number(make_box, alice, today, status, checking, words):
    """The number is the account's: a box's holder may not be."""
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=30)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    order = Order(number="D-222222", kind="domain_renewal", status=status)
    lines = Digest([Item(Notice(), box, order, today, checking=checking)])
    text = render_to_string("emails/_digest_action.txt", {"item": lines.groups[0].items[0]})
    assert text == words


# --- Many, twice, at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 5000])
def test_batches_smaller_than_the_data(make_box, alice, carla, today, batch):
    for n in range(5):
        make_box(carla if n % 2 else alice, f"casella{n}", expires_in=30 + n // 2)
    flows.run_for(today, batch=batch)
    assert noticed() == [(f"casella{n}@pec.example", -60 if n > 1 else -30, "told") for n in range(5)]
    runs = LifecycleRun.objects.filter(stage__in=["notices", "letters"])
    assert set(runs.values_list("expected", "done", "failed")) == {(5, 5, 0)}


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite splits inserts by its limit of parameters")
def test_a_batch_asks_no_more_with_more_boxes(make_box, alice, today):
    counts = {}
    box = make_box(alice, "prima", expires_in=30)
    work("notices", today), work("letters", today)
    for wanted in (1, 200):
        copies(box, wanted - 1)
        for model in (Letter, Notice, Email):
            model.objects.all().delete()
        with CaptureQueriesContext(connection) as first:
            owe(today)
        with CaptureQueriesContext(connection) as second:
            tell(today)
        assert (Notice.objects.filter(state="told").count(), Email.objects.count()) == (wanted, 2)
        counts[wanted] = (len(first), len(second))
    assert counts[1] == counts[200] and counts[200] <= (9, 20)


def test_one_bad_box_stops_no_other_and_leaves_neither_row_nor_mail(make_box, alice, carla, today, monkeypatch, caplog):
    boxes = [make_box(alice, f"casella{n}", expires_in=30) for n in range(3)]
    for n in range(2):
        make_box(carla, f"carla{n}", expires_in=30)
    real = telling.compose

    def refuse(items, *, to):
        if any(item.box.pk == boxes[1].pk for item in items):
            raise ValueError(f"cannot write to {to}")
        return real(items, to=to)

    monkeypatch.setattr(telling, "compose", refuse)
    with caplog.at_level(logging.INFO):
        flows.run_for(today)
    assert [(name, state) for name, _kind, state in noticed()] == [
        ("carla0@pec.example", "told"), ("carla1@pec.example", "told"), ("casella0@pec.example", "told"),
        ("casella1@pec.example", "due"), ("casella2@pec.example", "told"),
    ]  # fmt: skip
    assert Counter(to for to, _subject in queued())["carla@posta.example"] == 1, "another account keeps its list"
    run = LifecycleRun.objects.get(stage="letters")
    assert (run.expected, run.done, run.failed) == (5, 4, 1)
    assert caplog.text.count("a batch of notices goes one at a time: ValueError") == 2  # of all, of Alice's
    assert "@" not in caplog.text
    monkeypatch.undo()
    flows.run_for(today)
    assert {state for _name, _kind, state in noticed()} == {"told"} and len(queued()) == 2 + 4 + 2


@pytest.mark.parametrize("where", ["_write", "_settle"])
def test_killed_in_the_middle_nothing_is_there_twice_and_nothing_lost(make_box, alice, today, monkeypatch, where):
    class KilledError(BaseException):
        """As a SIGKILL: no handler of ours runs for it."""

    make_box(alice, "una", expires_in=30)
    owe(today)
    with monkeypatch.context() as patch:
        patch.setattr(telling, where, lambda *args: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            tell(today)
    assert queued() == [] and not Letter.objects.exists() and notices.unsent().due == 1
    tell(today)
    tell(today)
    assert len(queued()) == 2 == Letter.objects.count() and notices.unsent().due == 0


@pytest.fixture
def twenty(make_box, alice, carla):
    return [make_box(carla if n % 2 else alice, f"casella{n:02}", expires_in=30 + n % 3) for n in range(20)]


@pytest.mark.race
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_tell_each_box_once(twenty, today):
    both = [lambda: (owe(today), tell(today, batch=3))] * 2
    LifecycleRun.objects.create(stage="notices", day=today)
    LifecycleRun.objects.create(stage="letters", day=today)
    assert [r for r in at_once(*both) if isinstance(r, Exception)] == []
    flows.run_for(today)  # what one of them found in the other's hands
    link = Notice.letters.through
    told = Counter(link.objects.values_list("notice_id", "letter__to"))
    assert len(told) == 40 and set(told.values()) == {1}
    assert Email.objects.count() == Letter.objects.count()
    done = dict(LifecycleRun.objects.values_list("stage", "done"))
    assert (done["notices"], done["letters"]) == (20, 20)


@pytest.mark.race
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("checking", [True, False], ids=["claim", "control"])
def test_without_locks_the_claim_undoes_the_second_mail(make_box, alice, today, monkeypatch, checking):
    """Both look before either writes. The control, which does not look at what its update found, writes twice."""
    make_box(alice, "alice", expires_in=30)
    owe(today)
    between, real, waited = threading.Barrier(2), telling._write, set()

    def write(sheaves):
        if threading.get_ident() not in waited:
            waited.add(threading.get_ident())
            between.wait(10)  # both have found it due
        return real(sheaves)

    def settle(states):
        now = clock.now()
        for pk, state in states.items():
            letters.due().filter(pk=pk).update(state=state, told_at=now)

    monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **options: self)
    monkeypatch.setattr(telling, "_write", write)
    if not checking:
        monkeypatch.setattr(telling, "_settle", settle)
    LifecycleRun.objects.create(stage="letters", day=today)
    assert at_once(*[lambda: tell(today)] * 2) == [None, None]
    assert len(waited) == 2
    assert (Letter.objects.count(), len(queued())) == ((2, 2) if checking else (4, 4))


# --- Indexes ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="a plan of PostgreSQL")
def test_a_days_notices_are_found_by_indexes(make_box, alice, today):
    """The planner's own choice on 20,000 boxes over three years, all told of before but today's."""
    box = make_box(alice, "prima", expires_in=500)
    far = today + timedelta(days=2000)
    copies(box, 20000, expires_on=lambda n: today + timedelta(days=95 + n % 900), delete_from=lambda n: far)
    few = list(Mailbox.objects.order_by("pk").values_list("pk", flat=True)[:50])
    Mailbox.objects.filter(pk__in=few).update(expires_on=today + timedelta(days=30))
    now = clock.now()
    Notice.objects.bulk_create(
        Notice(box=one, owner=alice, expiry=one.expires_on, kind=-90, state="told", told_at=now, created_at=now)
        for one in Mailbox.objects.all()
    )
    with connection.cursor() as cursor:
        for table in ("mailboxes_mailbox", "lifecycle_notice", "renewals_orderline"):
            cursor.execute(f"ANALYZE {table}")
    plan = notices.due(today, today=today).order_by("expires_on", "pk").values_list("expires_on", "pk")[:5000].explain()
    assert "mailbox_live_by_expiry" in plan and "notice_told_once" in plan and "Seq Scan on mailboxes" not in plan
    owe(today)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE lifecycle_notice")
    assert Notice.objects.filter(state="due").count() == 50
    assert (
        "notice_due_by_owner" in letters.due().order_by("owner_id", "pk").values_list("owner_id", "pk")[:501].explain()
    )
    assert "notice_due_by_owner" in letters.due().explain()
    late = Letter.objects.filter(state__in=Letter.WAITING, queued_at__lt=now)
    Letter.objects.bulk_create(Letter(to=ALICE, state="accepted", queued_at=now, settled_at=now) for _n in range(20000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE lifecycle_letter")
    assert "letter_waiting_by_age" in late.explain()
    lost = Letter.objects.filter(state__in=Letter.LOST, settled_at__gte=now)
    assert "letter_lost_by_time" in lost.explain()
