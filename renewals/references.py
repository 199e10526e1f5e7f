"""What a customer writes so that the money finds its order: the causale of a transfer, the code of a postal slip."""

import re

from stdnum import iso11649
from stdnum.iso7064 import mod_97_10

from renewals.models import NUMBER_ALPHABET, NUMBER_PREFIX, Order

_PREFIXES = "".join(NUMBER_PREFIX.values())  # a new kind goes last: codes that are printed already keep their meaning
_ROOM = len(NUMBER_ALPHABET) ** 6


def creditor_reference(order: Order) -> str:
    """The causale of a transfer: an ISO 11649 reference made of the order number, as RF45 R7KQ 4M2."""
    body = order.number.replace("-", "")
    return str(iso11649.format("RF" + mod_97_10.calc_check_digits(body + "RF") + body))


def customer_code(order: Order) -> str:
    """The codice cliente of a postal slip: 16 digits made of the order number, and 2 that are their rest by 93.

    As on the slip TD 896 of Poste Italiane: 18 digits, the last two the remainder of the first sixteen divided by 93.
    """
    letters = order.number.replace("-", "")
    value = _PREFIXES.index(letters[0])
    for letter in letters[1:]:
        value = value * len(NUMBER_ALPHABET) + NUMBER_ALPHABET.index(letter)
    return f"{value:016}{value % 93:02}"


def number_of_code(code: str) -> str:
    """The order number of a customer code of 18 digits; "" when the code is not one of ours."""
    value = int(code[:16])
    if value % 93 != int(code[16:]) or value >= _ROOM * len(_PREFIXES):
        return ""
    letters = ""
    for _place in range(6):
        value, letter = divmod(value, len(NUMBER_ALPHABET))
        letters = NUMBER_ALPHABET[letter] + letters
    return f"{_PREFIXES[value]}-{letters}"


def numbers_in(remittance: str) -> set[str]:
    """The order numbers that a causale names: by a valid creditor reference, by a customer code, by itself."""
    upper = remittance.upper()
    text = re.sub(r"[^0-9A-Z]", "", upper)
    found = {m for m in re.findall(r"(?=(RF\d\d[RSAD][2-9A-HJ-NP-Z]{6}))", text) if iso11649.is_valid(m)}
    numbers = {f"{m[4]}-{m[5:]}" for m in found}
    numbers |= {f"{a}-{b}" for a, b in re.findall(r"\b([RSAD])-([2-9A-HJ-NP-Z]{6})\b", upper)}
    codes = re.findall(r"(?<![0-9])[0-9]{18}(?![0-9])", upper)
    return numbers | {number for number in map(number_of_code, codes) if number}
