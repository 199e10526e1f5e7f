"""Pages that read and compose. Nothing here writes; what may be done is a link to the app that does it."""

from dataclasses import replace

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import limits
from accounts.models import User
from mailboxes.contact import may_change
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments.invoicing import shown
from payments.models import AutoRenewal
from pecportal import clock
from pecportal.area import boxes, domains, export, filters, holders, home, invoices, orders, reading, rows
from renewals.history import history

PER_PAGE = 25


class SignedIn(HttpRequest):
    user: User


def _own_page(user: User) -> HttpResponse:
    """Where a mailbox login lands: its box's page, the only one it has (R1)."""
    box = get_object_or_404(Mailbox.objects.visible_to(user), login=user)
    return redirect("area:box", box_id=box.public_id)


def _accounts_only(user: User) -> None:
    if user.is_mailbox:
        raise Http404


@require_safe
@login_required
def start(request: SignedIn) -> HttpResponse:
    """The areas, after the things to do."""
    if request.user.is_mailbox:
        return _own_page(request.user)
    counts = home.count_boxes(request.user, today=clock.today())
    to_pay = home.count_to_pay(request.user)
    context = {
        "counts": counts,
        "to_pay": to_pay,
        "domains": home.count_domains(request.user),
        "todo": home.to_do(counts, to_pay=to_pay),
    }
    return render(request, "area/home.html", context)


@require_safe
@login_required
def gestisci(request: SignedIn, section: str) -> HttpResponse:
    """The boxes of one tab (R2), searched, filtered, sorted, 25 a page, with their orders at the foot."""
    user, today = request.user, clock.today()
    if user.is_mailbox:
        return _own_page(user)
    asked = filters.Asked.of(request.GET)
    counts = home.count_boxes(user, today=today, in_full=False)
    tab = asked.tab or counts.first_tab
    owned = Mailbox.objects.visible_to(user)
    listed = owned.of_others(user) if tab == filters.OTHERS else owned.own(user)
    paginator = Paginator(reading.with_relations(asked.apply(listed, today)), PER_PAGE)
    if not asked.narrows:
        paginator.count = counts.of(tab).total  # counted already: not a second time
    page = paginator.get_page(request.GET.get("page"))
    found = list(page.object_list)
    compact = page.paginator.count >= boxes.COMPACT_FROM
    foot = orders.of_boxes(found, user=user, today=today)
    cards = boxes.cards(found, user=user, today=today, foot=orders.all_open(foot, user))
    shows_holder = tab == filters.OTHERS
    context = {
        "tabs": _tabs(counts, tab, asked),
        "tab": tab,
        "other_tab": filters.MINE if tab == filters.OTHERS else filters.OTHERS,
        "asked": asked,
        "state_options": filters.state_options(asked.state),
        "sort_options": filters.sort_options(asked.sort),
        "counts": counts,
        "tab_counts": counts.of(tab),
        "page": page,
        "querystring": asked.querystring,
        "compact": compact,
        "cards": cards,
        "lines": rows.lines(cards, shows_holder=shows_holder) if compact else [],
        "orders": foot,
        "shows_holder": shows_holder,
    }
    return render(request, "area/gestisci.html", context)


def _tabs(counts: home.BoxCounts, tab: str, asked: filters.Asked) -> list[dict[str, object]]:
    labels = {filters.MINE: _("Le mie caselle PEC"), filters.OTHERS: _("PEC di altri titolari")}
    return [
        {
            "label": label,
            "url": f"{reverse('area:gestisci')}?{asked.on_tab(name).querystring}",
            "count": counts.of(name).total,
            "current": name == tab,
        }
        for name, label in labels.items()
    ]


@require_safe
@login_required
def box(request: SignedIn, section: str, box_id: object) -> HttpResponse:
    """One box in full, with the dates that come next and its orders at the foot."""
    user, today = request.user, clock.today()
    visible = reading.with_relations(Mailbox.objects.visible_to(user)).select_related("owner__billing")
    found = get_object_or_404(visible, public_id=box_id)
    consent = AutoRenewal.objects.filter(box=found, ended_at=None).select_related("method").first()
    its_orders = orders.of_boxes([found], user=user, today=today)
    card = boxes.cards([found], user=user, today=today, foot=orders.all_open(its_orders, user))[0]
    context = {
        "card": replace(card, consent=consent),
        "method": consent.method if consent and consent.method.login_id == user.pk else None,  # R24b
        "history": history(found.domain or found, reader=user) if found.phase != Phase.DELETED else [],
        "holder": holders.rows(found.holder),
        "may_change_contact": may_change(user, found),
        "orders": its_orders,
        "left_free": orders.left_free(its_orders, found),
    }
    return render(request, "area/box.html", context)


@require_safe
@login_required
def domain_list(request: SignedIn, section: str) -> HttpResponse:
    """The account's domains, first to expire on top, with their orders at the foot."""
    _accounts_only(request.user)
    page = Paginator(domains.of_account(request.user), PER_PAGE).get_page(request.GET.get("page"))
    found, today = list(page.object_list), clock.today()
    context = {
        "page": page,
        "cards": domains.cards(found, today=today),
        "orders": orders.of_domains([domain.pk for domain in found], user=request.user, today=today),
    }
    return render(request, "area/domini.html", context)


@require_safe
@login_required
def domain(request: SignedIn, section: str, domain_id: object) -> HttpResponse:
    """One domain with the dates that come next, where its boxes lead to be renewed (R17)."""
    user, today = request.user, clock.today()
    found = get_object_or_404(domains.of_account(user), public_id=domain_id)
    context = {
        "card": domains.cards([found], today=today)[0],
        "orders": orders.of_domains([found.pk], user=user, today=today),
    }
    return render(request, "area/dominio.html", context)


@require_safe
@login_required
def order_list(request: SignedIn, section: str) -> HttpResponse:
    """Pagamenti e fatture: the account's orders, all or those to pay."""
    _accounts_only(request.user)
    to_pay_only = request.GET.get("stato") == "da_pagare"
    found = orders.to_pay(request.user) if to_pay_only else orders.of_account(request.user)
    to_pay = home.count_to_pay(request.user)
    page = Paginator(orders.with_details(found), PER_PAGE).get_page(request.GET.get("page"))
    url = reverse("area:ordini")
    context = {
        "page": page,
        "orders": orders.rows(page.object_list, user=request.user, today=clock.today()),
        "to_pay_only": to_pay_only,
        "querystring": "stato=da_pagare" if to_pay_only else "",
        "tabs": [
            {"label": _("Tutti"), "url": url, "count": None, "current": not to_pay_only},
            {"label": _("Da pagare"), "url": f"{url}?stato=da_pagare", "count": to_pay, "current": to_pay_only},
        ],
    }
    return render(request, "area/ordini.html", context)


@require_safe
@login_required
def invoice_list(request: SignedIn, section: str) -> HttpResponse:
    """Fatture: the account's, each with its credit notes, searched, of one year, 25 a page."""
    _accounts_only(request.user)
    years = invoices.years_of(request.user)
    asked = invoices.Asked.of(request.GET, years)
    page = Paginator(invoices.of_account(request.user, asked), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": shown.rows(page.object_list),
        "asked": asked,
        "years": years,
        "querystring": asked.querystring,
    }
    return render(request, "area/fatture.html", context)


@require_safe
@login_required
@never_cache
def personal_data(request: SignedIn, section: str) -> HttpResponse:
    """Everything we hold about the account, as a file (R33)."""
    _accounts_only(request.user)
    if not limits.allow("personal_data", str(request.user.pk), limit=10, seconds=3600):
        messages.warning(request, _("Hai scaricato i tuoi dati molte volte: riprova fra un'ora."))
        return redirect("accounts:dati")
    answer = JsonResponse(export.of_account(request.user), json_dumps_params={"indent": 2, "ensure_ascii": False})
    answer["Content-Disposition"] = 'attachment; filename="i-miei-dati.json"'
    return answer
