"""Bringing to life what was bought: the mail system is asked, nothing locked, until it confirms (R30, §4 Purchase).

Repeatable and safe with several workers, killed anywhere: a box is claimed by moving its mark ahead, as when the mail
system is told (mailboxes.telling), and everything is looked at again under the locks of order and box.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Min

from mailboxes import activation, telling
from mailboxes.flows import contacts
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import get_platform
from pecportal import clock, mail
from renewals import giving
from renewals.models import Order, OrderLine
from renewals.purchase import open_purchase_lines

log = logging.getLogger(__name__)
AT_ONCE = 50  # boxes of one claim
ASK_AGAIN_AFTER = timedelta(seconds=45)  # under beat's minute
ALARM_AFTER = timedelta(hours=1)  # the page says minutes

OnActive = Callable[[Order, Mailbox], None]


def activate_due(*, on_active: OnActive, seconds: float = 200) -> int:
    """Ask the mail system for each box In attivazione that is due; returns how many came to an end.

    `on_active` is called with order and box, locked, in the transaction in which a box comes to life. One that the mail
    system refuses or does not confirm stays In attivazione and is asked for again in a minute; after an hour, an alarm.
    """
    stop_at, done = time.monotonic() + seconds, 0
    while time.monotonic() < stop_at:
        claimed, claim = telling.claim_due(Mailbox.objects.filter(phase=Phase.ACTIVATING), AT_ONCE)
        if not claimed:
            break
        for box in claimed:
            ended = time.monotonic() < stop_at and _try(box, on_active)
            done += ended
            if not ended:
                mine = Mailbox.objects.filter(pk=box.pk, phase=Phase.ACTIVATING, platform_due_at=claim)
                mine.update(platform_due_at=clock.now() + ASK_AGAIN_AFTER)
    _alarm()
    return done


def _try(box: Mailbox, on_active: OnActive) -> bool:
    try:
        return _ask(box, on_active)
    except Exception as error:  # one box keeps none waiting; the words of an error may hold an address (R33)
        log.error("box %s could not be activated (%s): it is tried again", box.pk, type(error).__name__)
        return False


def _ask(box: Mailbox, on_active: OnActive) -> bool:
    """Open the box at the mail system and begin its life; or, its order being no more, take it away there and here.

    Nobody can order the address while the box is there (R30), so what is taken away is never another one's.
    """
    line = open_purchase_lines().filter(address=box.address_id).first()
    address, platform = box.address.name, get_platform()
    if line is None:
        return platform.purge(address) and _give_up(box.pk)
    if line.status != OrderLine.Status.WAITING or line.order.status != Order.Status.PAID:
        return False
    if not platform.open(address, mailbox_gb=box.mailbox_gb, archive_gb=box.archive_gb):
        return False
    return begin_life(order_id=line.order_id, line_id=line.pk, box_id=box.pk, on_active=on_active)


def begin_life(*, order_id: int, line_id: int, box_id: int, on_active: OnActive) -> bool:
    """The mail system has the box: it lives from today, its line and order are fulfilled, its holder is told; once.

    False where the order was withdrawn from or fulfilled meanwhile: nothing is changed.
    """
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        line = order.lines.select_related("plan").get(pk=line_id)
        related = ("address", "plan", "next_plan", "holder", "owner")
        box = Mailbox.objects.locked().select_related(*related).filter(pk=box_id, phase=Phase.ACTIVATING).first()
        waits = order.status == Order.Status.PAID and line.status == OrderLine.Status.WAITING
        if box is None or not waits or order.years is None:
            return False
        line.order = order
        period = activation.begin_life(box=box, years=order.years, source=line.public_id, today=clock.today())
        giving.complete(line, period=period)
        told = [order.email, *contacts(box)]
        mail.send("purchase_active", to=told, context={"order": order, "line": line, "box": box})
        on_active(order, box)
        transaction.on_commit(giving.nudge_platform, robust=True)
    return True


def _give_up(box_id: int) -> bool:
    with transaction.atomic(durable=True):
        box = Mailbox.objects.locked().filter(pk=box_id, phase=Phase.ACTIVATING).first()
        if box is None or open_purchase_lines().filter(address=box.address_id).exists():
            return False
        activation.give_up(box=box)
    return True


def _alarm() -> None:
    """What waits for longer than the page promises; the mark's index holds the few boxes that wait for anything."""
    waiting = Mailbox.objects.filter(phase=Phase.ACTIVATING, platform_due_at__isnull=False)
    late = waiting.filter(created_at__lt=clock.now() - ALARM_AFTER).aggregate(n=Count("pk"), since=Min("created_at"))
    if late["n"]:
        log.error("%s boxes wait to be activated by the mail system, the first since %s", late["n"], late["since"])
