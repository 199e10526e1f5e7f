"""The dense list: a line a box, worked out here so that the template of a page of 25 has little left to decide."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from pecportal.area.boxes import BoxCard, Meter
from pecportal.formats import day, distance, gigabytes
from renewals.rules import Reason

SOME_BOX = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Line:
    """A box of the dense list, in words. `state` is markup; `card` where more than a line is to be said."""

    id: str
    url: str
    renew_url: str
    address: str
    holder: str
    plan: str
    state: SafeString
    iso: str
    day: str
    left: str
    until: str
    soon: bool
    card: BoxCard
    says_why: bool
    changes: bool


def lines(cards: Sequence[BoxCard]) -> list[Line]:
    """The lines of a page. Addresses and state marks, which lines have in common, are made once."""
    urls = {name: reverse(name, kwargs={"box_id": SOME_BOX}).split(SOME_BOX) for name in ("area:box", "renewals:plan")}
    marks: dict[tuple[str, str], SafeString] = {}
    return [_line(card, urls, marks) for card in cards]


def _line(card: BoxCard, urls: dict[str, list[str]], marks: dict[tuple[str, str], SafeString]) -> Line:
    box, expiry, reason = card.box, card.expiry, card.reason
    shown_id = str(box.public_id)
    mark = (card.look, card.short_label)
    if mark not in marks:
        marks[mark] = render_to_string("partials/state.html", {"state": mark[0], "label": mark[1]})
    until = ""
    if card.can_read_only and card.last_day is not None:
        until = _("rinnovabile entro %(last)s") % {"last": card.last_day.il}
    return Line(
        id=shown_id,
        url=shown_id.join(urls["area:box"]),
        renew_url=shown_id.join(urls["renewals:plan"]) if reason is Reason.RENEW else "",
        address=box.address.name,
        holder=str(box.holder),
        plan=" · ".join([str(box.plan), *_space(card), *_domain(card)]),
        state=marks[mark],
        iso=box.expires_on.isoformat() if box.expires_on else "",
        day=day(box.expires_on),
        left=distance(expiry.days) if expiry and card.is_live else "",
        until=until,
        soon=card.is_soon,
        card=card,
        says_why=reason is not Reason.RENEW or card.auto_missed,
        changes=box.change_on is not None,
    )


def _space(card: BoxCard) -> list[str]:
    if card.meters:
        return [_meter(meter) for meter in card.meters]
    size = [f"{card.box.mailbox_gb} GB"]
    if card.box.archive_gb:
        size.append(_("archivio %(n)s GB") % {"n": card.box.archive_gb})
    return size


def _meter(meter: Meter) -> str:
    words = _("Archivio %(used)s di %(gb)s GB") if meter.archive else _("Spazio %(used)s di %(gb)s GB")
    return words % {"used": gigabytes(meter.used), "gb": meter.gb}


def _domain(card: BoxCard) -> list[str]:
    return [_("dominio %(domain)s") % {"domain": card.box.domain}] if card.box.domain else []
