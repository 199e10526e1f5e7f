"""What a customer writes on a transfer so that it finds its order."""

from stdnum import iso11649
from stdnum.iso7064 import mod_97_10

from renewals.models import Order


def creditor_reference(order: Order) -> str:
    """The causale of a transfer: an ISO 11649 reference made of the order number, as RF45 R7KQ 4M2."""
    body = order.number.replace("-", "")
    return str(iso11649.format("RF" + mod_97_10.calc_check_digits(body + "RF") + body))
