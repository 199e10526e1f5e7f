"""When Rinnova shows, and what may be chosen: tables of cases (R4, R6, R7, R9)."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from mailboxes.rules import GB, Capacity, PlanLimits
from renewals import rules
from renewals.rules import BoxFacts, Code, Problem, Reason

E = date(2027, 1, 1)
PLAIN = BoxFacts(
    phase="live", on_domain=False, expires_on=E, delete_from=E + timedelta(days=91), auto_renews=False,
    auto_over_for=None, open_renewal_awaits_payment=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "offset", "expected"),
    [
        ({}, -400, Reason.RENEW),
        ({}, 0, Reason.RENEW),
        ({}, 90, Reason.RENEW),
        ({}, 91, Reason.AWAITING_DELETION),
        ({"open_renewal_awaits_payment": True}, 0, Reason.ORDER_TO_PAY),
        ({"open_renewal_awaits_payment": False}, 0, Reason.ORDER_AT_WORK),
        ({"open_renewal_awaits_payment": True}, 91, Reason.AWAITING_DELETION),
        ({"auto_renews": True}, 0, Reason.AUTO_RENEWAL),
        ({"auto_renews": True}, 1, Reason.RENEW),  # Scaduta: nothing will be charged any more
        ({"auto_renews": True, "auto_over_for": E}, 0, Reason.RENEW),  # cancelled or finally failed charge
        (
            {"auto_renews": True, "auto_over_for": E - timedelta(days=365)},
            0,
            Reason.AUTO_RENEWAL,
        ),  # an earlier expiry's
        ({"auto_renews": True, "open_renewal_awaits_payment": True}, 0, Reason.ORDER_TO_PAY),
        ({"on_domain": True}, 0, Reason.ON_DOMAIN),
        ({"on_domain": True}, 95, Reason.ON_DOMAIN),
        ({"phase": "activating", "expires_on": None, "delete_from": None}, 0, Reason.ACTIVATING),
        ({"phase": "deleting"}, 95, Reason.DELETING),
        ({"phase": "deleted"}, 200, Reason.DELETED),
        ({"phase": "deleted", "on_domain": True}, 200, Reason.DELETED),
    ],
)
def test_rinnova_shows_or_says_why_not(change, offset, expected):
    assert rules.offer(replace(PLAIN, **change), E + timedelta(days=offset)) == expected


def outside(field: str, least: int, most: int) -> list[Problem]:
    code = Code.MAILBOX_GB_OUTSIDE if field == "mailbox_gb" else Code.ARCHIVE_GB_OUTSIDE
    return [Problem(code, field, {"least": least, "most": most})]


STANDARD = PlanLimits(1, 1, 2, 0, 0)
PRO = PlanLimits(2, 2, 50, 3, 100)
OLD_STANDARD, OLD_PRO = Capacity(1, 1, 0), Capacity(2, 2, 3)


@pytest.mark.parametrize(
    ("current", "limits", "gb", "used", "tick", "space_open", "expected"),
    [
        (OLD_STANDARD, STANDARD, (1, 0), (0, 0), False, False, []),
        (OLD_STANDARD, STANDARD, (2, 0), (0, 0), False, False, []),
        (OLD_STANDARD, STANDARD, (3, 0), (0, 0), False, False, outside("mailbox_gb", 1, 2)),
        (OLD_STANDARD, STANDARD, (0, 0), (0, 0), False, False, outside("mailbox_gb", 1, 2)),
        (OLD_STANDARD, STANDARD, (-1, 0), (0, 0), False, False, outside("mailbox_gb", 1, 2)),
        (OLD_STANDARD, STANDARD, (1, 1), (0, 0), False, False, [Problem(Code.ARCHIVE_NOT_IN_PLAN, "archive_gb")]),
        (OLD_STANDARD, PRO, (2, 2), (0, 0), False, False, outside("archive_gb", 3, 100)),
        (OLD_STANDARD, PRO, (99999, 3), (0, 0), False, False, outside("mailbox_gb", 2, 50)),
        (OLD_PRO, STANDARD, (1, 0), (0, GB), False, False, [Problem(Code.ARCHIVE_LOSS_NOT_ACCEPTED, "archive_loss")]),
        (OLD_PRO, STANDARD, (1, 0), (0, GB), True, False, []),
        (OLD_PRO, STANDARD, (1, 0), (GB + 1, 0), True, False,
         [Problem(Code.NEEDS_MORE_MAILBOX, "mailbox_gb", {"needed": 2})]),
        (OLD_PRO, STANDARD, (1, 0), (3 * GB, 0), True, False,
         [Problem(Code.TOO_FULL, "plan", {"mailbox": GB, "archive": 0})]),
        (OLD_PRO, PRO, (2, 3), (0, 4 * GB), False, False,
         [Problem(Code.NEEDS_MORE_ARCHIVE, "archive_gb", {"needed": 4})]),
        (OLD_PRO, STANDARD, (1, 0), (0, 0), True, True, [Problem(Code.SPACE_ORDER_OPEN, "plan")]),
        (OLD_STANDARD, PRO, (2, 3), (0, 0), False, True, []),  # an upgrade takes nothing away from the space order
    ],
)  # fmt: skip
def test_what_stands_against_a_choice(current, limits, gb, used, tick, space_open, expected):
    found = rules.choice_problems(
        current=current, limits=limits, selectable=True, mailbox_gb=gb[0], archive_gb=gb[1], mailbox_used=used[0],
        archive_used=used[1], archive_loss_accepted=tick, space_order_open=space_open,
    )  # fmt: skip
    assert list(found) == expected


def test_a_plan_that_is_not_offered_stops_everything_else():
    found = rules.choice_problems(
        current=OLD_STANDARD, limits=PlanLimits(0, 1, 1, 0, 0), selectable=False, mailbox_gb=99, archive_gb=99,
        mailbox_used=0, archive_used=0, archive_loss_accepted=False, space_order_open=False,
    )  # fmt: skip
    assert list(found) == [Problem(Code.PLAN_NOT_SELECTABLE, "plan")]
