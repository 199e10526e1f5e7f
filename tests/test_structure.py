"""The shape of the product, held by tests where no linter can."""

import ast
import re
from pathlib import Path

import pytest
from django.apps import apps

from mailboxes.models import Mailbox
from payments.models import Invoice, Payment
from renewals.models import Order, OrderLine

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["accounts", "mailboxes", "renewals", "payments", "lifecycle"]  # imports and relations go only leftwards


def relations():
    for room in ROOMS:
        for model in apps.get_app_config(room).get_models():
            for field in model._meta.get_fields():
                if field.is_relation and field.concrete and field.related_model._meta.app_label in ROOMS:
                    yield model, field


def test_no_model_relation_points_right():
    found = list(relations())
    assert len(found) > 30
    wrong = [
        f"{model.__name__}.{field.name} → {field.related_model.__name__}"
        for model, field in found
        if ROOMS.index(field.related_model._meta.app_label) > ROOMS.index(model._meta.app_label)
    ]
    assert wrong == []


WRITERS = {  # what may assign the state of a thing, and to whom (DESIGN §3)
    r"\border\.status = ": {"renewals/settle.py"},
    r"\bline\.status = ": {"renewals/settle.py"},
    r"\b(Order|OrderLine)\.objects\..*\bupdate\(": {"renewals/settle.py"},  # many at once
    r"\bmove_(order|lines?)\(": {"renewals/giving.py", "renewals/settle.py", "renewals/undoing.py"},
    r"\bpayment\.status = ": {"payments/moves.py"},
    r"from payments\.moves import|from payments import .*\bmoves\b": {"payments/recording.py", "payments/refunds.py"},
    r"\.expires_on = ": {"mailboxes/flows.py"},
    r"\.delete_from = ": {
        "mailboxes/activation.py",
        "mailboxes/domains.py",
        "mailboxes/flows.py",
        "mailboxes/reversals.py",
    },
    r"\.auto_renews = ": {"payments/auto_renewal.py"},
    r"\.auto_over_for = ": {"payments/auto_renewal.py", "payments/scheduled.py"},
    r"\brow\.status, row\.due_on = ": {"payments/scheduled.py"},
    r"\b(invoice|note)\.state = ": set(),  # payments/invoicing/states.py writes it by its name
}


@pytest.mark.parametrize(("pattern", "allowed"), WRITERS.items())
def test_every_state_has_one_writer(pattern, allowed):
    files = [p for room in [*ROOMS, "pecportal"] for p in (ROOT / room).rglob("*.py") if "migrations" not in p.parts]
    writers = {str(p.relative_to(ROOT)) for p in files if re.search(pattern, p.read_text())}
    assert writers == allowed


def caught_whole(source: str) -> list[int]:
    """Lines of `except Exception` with no reason beside it, or with neither a log line nor a raise behind it."""
    lines, wrong = source.splitlines(), []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and getattr(node.type, "id", "") == "Exception":
            calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
            logged = any(getattr(call.value, "id", "") in ("log", "work") for call in calls)
            raised = any(isinstance(n, ast.Raise) for n in ast.walk(node))
            if "  # " not in lines[node.lineno - 1] or not (logged or raised):
                wrong.append(node.lineno)
    return wrong


def test_whatever_is_caught_says_why_and_leaves_a_trace():
    attempt = "try:\n    f()\nexcept Exception:{}\n    {}\n"
    assert caught_whole(attempt.format("  # why", "log.error('x')") + attempt.format("  # why", "raise E")) == []
    assert caught_whole(attempt.format("  # why", "pass") + attempt.format("", "log.error('x')")) == [3, 7]
    files = [p for room in [*ROOMS, "pecportal"] for p in (ROOT / room).rglob("*.py")]
    found = {str(p.relative_to(ROOT)): caught_whole(p.read_text()) for p in files}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_what_is_called_after_a_commit_has_a_name():
    """Django names the function that failed in its log line; of a partial it cannot, and fails itself."""
    files = [p for room in [*ROOMS, "pecportal"] for p in (ROOT / room).rglob("*.py")]
    assert [str(p.relative_to(ROOT)) for p in files if re.search(r"on_commit\(\s*partial", p.read_text())] == []


FORBIDDEN_SQL = ["CURRENT_DATE", "now()::date", "TruncDate(", "functions import Now", "Now()"]


@pytest.mark.parametrize("text", FORBIDDEN_SQL)
def test_the_day_is_always_a_parameter(text):
    files = [p for room in [*ROOMS, "pecportal"] for p in (ROOT / room).rglob("*.py")]
    assert files
    assert [str(p.relative_to(ROOT)) for p in files if text in p.read_text()] == []


def test_every_move_of_an_order_a_line_and_a_payment_is_in_its_table():
    for states, table in (
        (Order.Status, Order.MOVES), (OrderLine.Status, OrderLine.MOVES), (Payment.Status, Payment.MOVES),
        (Invoice.State, Invoice.MOVES),
    ):  # fmt: skip
        statuses = set(states.values)
        assert {str(s) for s in table} - {""} == statuses
        assert {str(t) for targets in table.values() for t in targets} <= statuses


def test_templates_have_no_inline_script_or_style():
    pages = [p for p in (ROOT / "templates").rglob("*.html") if "emails" not in p.parts and "email" not in p.parts]
    assert len(pages) > 20
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", re.IGNORECASE)
    assert [str(p.relative_to(ROOT)) for p in pages if inline.search(p.read_text())] == []


def test_boxes_are_reached_through_one_door():
    """Views fetch boxes and orders through visible_to only (R1)."""
    views = [
        p
        for room in [*ROOMS, "pecportal"]
        for p in (ROOT / room).rglob("*.py")
        if p.name == "views.py" or "views" in p.parts or "area" in p.parts
    ]
    assert len(views) > 5
    direct = re.compile(
        r"get_object_or_404\((Mailbox|Order)\b(?!\.objects\.visible_to)|(Mailbox|Order)\.objects\.(get|filter|all)\((?!address=OuterRef)"
    )
    assert [str(p.relative_to(ROOT)) for p in views if direct.search(p.read_text())] == []
    assert hasattr(Mailbox.objects.all(), "visible_to")
