"""Text as the FatturaPA format takes it: Basic Latin and Latin-1 Supplement, each field with its longest length.

Pure. The types are String…LatinType (both blocks) and String…Type (Basic Latin alone) of the agency's schema 1.2.3.
"""

import unicodedata

HIGHEST_BASIC, HIGHEST_LATIN = 0x7F, 0xFF
# What means the same in the letters of the format. Letters with signs that Unicode can take off are not listed.
SAME = str.maketrans(
    {
        "‘": "'", "’": "'", "‚": "'", "‛": "'", "ʼ": "'", "′": "'", "“": '"', "”": '"', "„": '"', "″": '"',
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "•": "-", "⁄": "/", "€": "EUR",
        "Œ": "OE", "œ": "oe", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "Ħ": "H", "ħ": "h", "ı": "i", "ẞ": "SS",
        "Ŋ": "N", "ŋ": "n", "Ŧ": "T", "ŧ": "t", "Ə": "E", "ə": "e",
    }
)  # fmt: skip


class UnwritableError(ValueError):
    """A text cannot be written in an e-invoice: `field` is whose it is, `str(error)` the sentence that says why."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def latin(text: str, *, field: str, longest: int, highest: int = HIGHEST_LATIN) -> str:
    """`text` in the letters of the format, single spaces, or UnwritableError.

    Signs that mean the same are replaced and accents that the format lacks are taken off (Müller stays, Žižek becomes
    Zizek); invisible characters go. Another alphabet, a picture or a control character is refused: nobody's name is
    guessed, and nothing is cut (`longest`, characters).
    """
    written = "".join(_written(character, field, highest) for character in unicodedata.normalize("NFC", text))
    written = " ".join(written.split())
    if not written:
        raise UnwritableError(field, "Manca un dato che la fattura elettronica richiede: scrivilo.")
    if len(written) > longest:
        raise UnwritableError(
            field,
            f"Nella fattura elettronica questo dato ha al massimo {longest} caratteri, e ne ha {len(written)}: "
            "abbrevialo.",
        )
    return written


def shortened(text: str, *, field: str, longest: int) -> str:
    """As `latin`, for a text of our own that may end early: a description loses its end, never its line."""
    written = latin(text, field=field, longest=len(text) * 4 + 1)
    return written if len(written) <= longest else written[: longest - 3].rstrip() + "..."


def in_pieces(text: str, *, field: str, longest: int) -> list[str]:
    """As `latin`, in as many pieces as needed, cut between words (Causale may be repeated)."""
    pieces = [""]
    for word in latin(text, field=field, longest=len(text) * 4 + 1).split():
        for part in (word[i : i + longest] for i in range(0, len(word), longest)):
            if pieces[-1] and len(pieces[-1]) + 1 + len(part) <= longest:
                pieces[-1] += " " + part
            elif pieces[-1]:
                pieces.append(part)
            else:
                pieces[-1] = part
    return pieces


def _written(character: str, field: str, highest: int) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    if category in ("Cc", "Cn", "Co", "Cs"):
        raise UnwritableError(
            field, "C'è un carattere invisibile che non si può usare: cancella e riscrivi il testo a mano."
        )
    if ord(character) <= highest:
        return character
    apart = unicodedata.normalize("NFKD", character.translate(SAME)).translate(SAME)
    plain = "".join(c for c in apart if not unicodedata.combining(c))
    if plain and all(ord(c) <= highest and c.isprintable() for c in plain):
        return plain
    raise UnwritableError(
        field, f"Il carattere «{character}» non si può scrivere in una fattura elettronica: usane uno semplice."
    )
