"""Numbers without gaps: one counter row a series and year, taken in the transaction that writes the number down.

The row stays locked until that transaction ends, so a number that is not used is not taken, whoever dies when. Take it
last: nobody else gets a number meanwhile.
"""

from django.db import connection, transaction

from payments.models import Invoice, InvoiceCounter

TAKE = f"""
INSERT INTO {InvoiceCounter._meta.db_table} (series, year, last) VALUES (%s, %s, 1)
ON CONFLICT (series, year) DO UPDATE SET last = {InvoiceCounter._meta.db_table}.last + 1 RETURNING last
"""  # noqa: S608 - a constant
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LENGTH = 5  # of the progressive of a file's name, letters and digits (SdI's specification of the channels)


def take(series: str, year: int) -> int:
    """The next number of a series in a year, from 1. In a transaction: it is taken if that commits."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("a number is taken in the transaction that writes it down")
    return _next(series, year)


def take_progressive() -> str:
    """A progressive that no file has had, such as 0001K. Gaps do not matter here: files of which nobody hears."""
    count = _next(InvoiceCounter.FILES, 0)
    written = ""
    while count:
        count, digit = divmod(count, len(DIGITS))
        written = DIGITS[digit] + written
    if len(written) > LENGTH:
        raise OverflowError("all names of files are used: send as another transmitter")
    return written.rjust(LENGTH, "0")


def _next(series: str, year: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [series, year])
        (number,) = cursor.fetchone()
    return int(number)


def gaps(series: str, year: int) -> list[int]:
    """Numbers of a series and year that no invoice has, up to the last taken: none, unless somebody erased rows."""
    last = InvoiceCounter.objects.filter(series=series, year=year).values_list("last", flat=True).first() or 0
    found = Invoice.objects.filter(series=series, year=year)
    if found.count() == last:
        return []
    return sorted(set(range(1, last + 1)) - set(found.values_list("number", flat=True)))
