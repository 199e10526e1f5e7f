"""The dense list: a line a box, worked out here so that the template of a page of 25 has little left to decide."""

from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from pecportal.area.boxes import BoxCard, Meter
from pecportal.formats import distance, gigabytes, kept
from renewals.rules import Reason

SOME_BOX = "00000000-0000-0000-0000-000000000000"
PLACES = ("id", "url", "renew_url", "address", "holder", "plan", "state", "when", "change")


class Line(TypedDict):
    """A box of the dense list. `card` where more than a line is to be said. A dict: a template looks there first."""

    id: str
    markup: SafeString
    card: BoxCard
    says_why: bool


def lines(cards: Sequence[BoxCard], *, shows_holder: bool) -> list[Line]:
    """The lines of a page. Addresses, marks and the markup itself, which lines have in common, are made once."""
    urls = {name: reverse(name, kwargs={"box_id": SOME_BOX}).split(SOME_BOX) for name in ("area:box", "renewals:plan")}
    return [_line(card, urls, shows_holder) for card in cards]


@kept
def _shape(shows_holder: bool, renews: bool) -> str:
    """The markup of a line, for format_html."""
    places = {name: SafeString("{" + name + "}") for name in PLACES}
    return render_to_string("area/_line.html", {**places, "shows_holder": shows_holder, "renews": renews})


@kept
def _state(look: str, label: str) -> SafeString:
    return render_to_string("partials/state.html", {"state": look, "label": label})


@kept
def _when(expires_on: date, days: int | None, soon: bool, until: str) -> SafeString:
    """The expiry, how far it is (None: not said) and until when it can be renewed."""
    left = "" if days is None else distance(days)
    return render_to_string("area/_when.html", {"day": expires_on, "left": left, "soon": soon, "until": until})


def _line(card: BoxCard, urls: dict[str, list[str]], shows_holder: bool) -> Line:
    box, expiry, reason = card.box, card.expiry, card.reason
    shown_id = str(box.public_id)
    until = ""
    if card.can_read_only and card.last_day is not None:
        until = _("rinnovabile entro %(last)s") % {"last": card.last_day.il}
    markup = format_html(
        _shape(shows_holder, reason is Reason.RENEW),
        id=shown_id,
        url=shown_id.join(urls["area:box"]),
        renew_url=shown_id.join(urls["renewals:plan"]),
        address=box.address.name,
        holder=str(box.holder),
        plan=" · ".join([str(box.plan), *_space(card), *_domain(card)]),
        state=_state(card.look, card.short_label),
        when=_when(expiry.day, expiry.days if card.is_live else None, card.is_soon, until) if expiry else "",
        change=render_to_string("area/_change.html", {"card": card}) if box.change_on is not None else "",
    )
    return Line(id=shown_id, markup=markup, card=card, says_why=reason is not Reason.RENEW or card.auto_missed)


def _space(card: BoxCard) -> list[str]:
    if card.meters:
        return [_meter(meter) for meter in card.meters]
    size = [f"{card.box.mailbox_gb} GB"]
    if card.box.archive_gb:
        size.append(_("archivio %(n)s GB") % {"n": card.box.archive_gb})
    return size


def _meter(meter: Meter) -> str:
    return _of(meter.archive, gigabytes(meter.used), meter.gb)


@kept
def _of(archive: bool, used: str, gb: int) -> str:
    words = _("Archivio %(used)s di %(gb)s GB") if archive else _("Spazio %(used)s di %(gb)s GB")
    return words % {"used": used, "gb": gb}


def _domain(card: BoxCard) -> list[str]:
    return [_("dominio %(domain)s") % {"domain": card.box.domain}] if card.box.domain else []
