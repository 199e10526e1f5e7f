"""What a letter says: one box in its own mail, several boxes of one address in a digest. Pure words, no query (R27)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lifecycle.models import Notice
from mailboxes.models import Mailbox
from mailboxes.rules import State
from pecportal import mail
from pecportal.formats import il
from renewals.models import Order

TEMPLATES = {
    State.ACTIVE: "expiry_before",
    State.EXPIRED: "expiry_after",
    State.AWAITING_DELETION: "expiry_last",
}


@dataclass(frozen=True)
class Item:
    """One box to be told about, in the words of its state today. `order`: its open renewal, if it has one; `checking`:
    its payment is being verified, and is not to be made again (R19)."""

    notice: Notice
    box: Mailbox
    order: Order | None
    today: date
    checking: bool = False

    @property
    def state(self) -> State:
        return self.box.state(self.today)

    @property
    def expiry(self) -> date:
        assert self.box.expires_on is not None  # of a live box
        return self.box.expires_on

    @property
    def days(self) -> int:
        return (self.expiry - self.today).days

    @property
    def auto_missed(self) -> bool:
        """Automatic renewal is on, and no charge comes: whoever relies on it is told."""
        return self.box.auto_renews and self.order is None

    @property
    def has_action(self) -> bool:
        """Whether a line of a digest says what to do: not where it is too late, but for an order at work."""
        at_work = self.order is not None and not self.order.is_awaiting_payment
        return at_work or self.checking or self.state is not State.AWAITING_DELETION

    @property
    def nearest(self) -> date:
        """The date by which to do something: the expiry, or the last day to renew."""
        last = self.box.last_renewable_day
        return self.expiry if self.state is State.ACTIVE or last is None else last


@dataclass(frozen=True)
class Group:
    """Boxes of a digest to which the same happens, the most urgent first."""

    state: State
    items: Sequence[Item]

    @property
    def is_before(self) -> bool:
        return self.state is State.ACTIVE

    @property
    def is_after(self) -> bool:
        return self.state is State.EXPIRED


class Digest:
    """Several boxes of one address."""

    def __init__(self, items: Sequence[Item]) -> None:
        ordered = sorted(items, key=lambda item: (item.nearest, item.box.address.name))
        groups = [Group(state, [item for item in ordered if item.state is state]) for state in TEMPLATES]
        self.groups = [group for group in groups if group.items]

    @property
    def can_renew(self) -> bool:
        """Whether any of them can still be renewed."""
        return any(group.state in SAYS_A_DATE for group in self.groups)

    @cached_property
    def heading(self) -> str:
        """How many, what happens to them, and the nearest date: the subject and the first line."""
        counts = {group.state: len(group.items) for group in self.groups}
        dates = {item.nearest for group in self.groups for item in group.items if item.state in SAYS_A_DATE}
        if not dates:
            return _gone(counts[State.AWAITING_DELETION], alone=True)
        nearest = min(dates)
        facts = {"n": sum(counts.values()), "il": il(nearest)}
        if list(counts) == [State.ACTIVE]:
            if len(dates) == 1:
                return _("%(n)s caselle PEC scadono %(il)s") % facts
            return _("%(n)s caselle PEC scadono: la prima %(il)s") % facts
        if list(counts) == [State.EXPIRED]:
            if len(dates) == 1:
                return _("%(n)s caselle PEC sono scadute: rinnovabili entro %(il)s") % facts
            return _("%(n)s caselle PEC sono scadute: la prima è rinnovabile entro %(il)s") % facts
        return _("%(parts)s: la data più vicina è %(il)s") % {"parts": self._parts(counts), "il": il(nearest)}

    def _parts(self, counts: dict[State, int]) -> str:
        said = []
        if n := counts.get(State.ACTIVE):
            said.append(ngettext("%(n)s casella PEC scade", "%(n)s caselle PEC scadono", n) % {"n": n})
        if n := counts.get(State.EXPIRED):
            words = (
                ngettext("%(n)s è scaduta", "%(n)s sono scadute", n)
                if said
                else ngettext("%(n)s casella PEC è scaduta", "%(n)s caselle PEC sono scadute", n)
            )
            said.append(words % {"n": n})
        if n := counts.get(State.AWAITING_DELETION):
            said.append(_gone(n, alone=not said))
        return ", ".join(said)


SAYS_A_DATE = (State.ACTIVE, State.EXPIRED)


def _gone(n: int, *, alone: bool) -> str:
    words = (
        ngettext("%(n)s casella PEC sta per essere cancellata", "%(n)s caselle PEC stanno per essere cancellate", n)
        if alone
        else ngettext("%(n)s sta per essere cancellata", "%(n)s stanno per essere cancellate", n)
    )
    return words % {"n": n}


def compose(items: Sequence[Item], *, to: list[str]) -> list[dict[str, object]]:
    """The mails that tell `items` to each address: one box's own mail, or a digest. Nothing is queued."""
    if len(items) > 1:
        return mail.letters("expiry_digest", to=to, context={"digest": Digest(items)})
    item = items[0]
    context: dict[str, object] = {
        "box": item.box, "order": item.order, "checking": item.checking, "days": item.days,
        "auto_missed": item.auto_missed,
    }  # fmt: skip
    return mail.letters(TEMPLATES[item.state], to=to, context=context)
