"""Italian fiscal data, checked: pure functions, no query, no clock.

Each `check_*` takes what a person typed, returns it in the form that is stored, or raises ValidationError with a
sentence that says what to look at (R31). Sources: DM 23 December 1976 for the codice fiscale (letters of the names,
date, check letter; replaced digits, "omocodia"), the SdI's rules for destination codes; DOMAIN §8 for who has which.
"""

import re
import unicodedata
from datetime import date

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from stdnum.exceptions import ValidationError as InvalidNumber
from stdnum.it import codicefiscale, iva

from accounts.places import PROVINCES

PERSONAL_CODE = re.compile(
    r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]", re.ASCII
)
MONTHS = "ABCDEHLMPRST"
WOMEN_OFFSET = 40  # a woman's day of birth is written plus 40
OMOCODIA = str.maketrans("LMNPQRSTUV", "0123456789")  # letters that replace digits where two people would share a code
VOWELS = "AEIOU"
# Letters that Unicode does not take apart into a Latin letter and a sign.
WHOLE_LETTERS = str.maketrans({"Æ": "AE", "Œ": "OE", "Ø": "O", "Đ": "D", "Ð": "D", "Ł": "L", "Þ": "TH", "ẞ": "SS"})
UMLAUTS = str.maketrans({"Ä": "AE", "Ö": "OE", "Ü": "UE"})
LOWEST_CAP, HIGHEST_CAP = 10, 98168
NO_SDI_CODE = "0000000"  # what an invoice carries when the customer has no code


def compact(typed: str) -> str:
    """A code without spaces, dots and hyphens, in capitals."""
    return re.sub(r"[\s.\-–:/]", "", unicodedata.normalize("NFKC", typed)).upper()


def without_country(typed: str) -> str:
    """A partita IVA without the IT that invoices write before it; any other code as `compact` gives it."""
    code = compact(typed)
    return code[2:] if re.fullmatch(r"IT[0-9]{11}", code) else code


# --- Codice fiscale, partita IVA ------------------------------------------------------------------------------------


def check_personal_code(typed: str) -> str:
    """The codice fiscale of a person: 16 characters, form, check letter, a date that exists."""
    code = compact(typed)
    if re.fullmatch(r"[0-9]{11}", code):
        raise ValidationError(
            _("Il codice fiscale di una persona ha 16 caratteri: quello di 11 cifre è di società ed enti.")
        )
    if len(code) != 16:
        raise ValidationError(
            ngettext(
                "Il codice fiscale ha 16 caratteri: ne hai scritto %(n)s.",
                "Il codice fiscale ha 16 caratteri: ne hai scritti %(n)s.",
                len(code),
            )
            % {"n": len(code)}
        )
    if not PERSONAL_CODE.fullmatch(code):
        raise ValidationError(
            _("Il codice fiscale non ha la forma giusta: controlla di non aver scambiato lettere e cifre, come O e 0.")
        )
    if codicefiscale.calc_check_digit(code[:15]) != code[15]:
        raise ValidationError(_("Il codice fiscale contiene un errore: ricontrolla tutti i 16 caratteri."))
    if not _has_real_date(code):
        raise ValidationError(
            _(
                "La data di nascita scritta nel codice fiscale non esiste: controlla i caratteri dal settimo "
                "all'undicesimo."
            )
        )
    return code


def check_body_code(typed: str) -> str:
    """The codice fiscale of a company or body: 11 digits with their check digit."""
    code = compact(typed)
    if PERSONAL_CODE.fullmatch(code):
        raise ValidationError(
            _("Questo è il codice fiscale di una persona: qui serve quello della società o dell'ente, di 11 cifre.")
        )
    if not re.fullmatch(r"[0-9]{11}", code):
        raise ValidationError(
            _("Il codice fiscale di una società o di un ente ha 11 cifre: controlla quello che hai scritto.")
        )
    try:
        return iva.validate(code)
    except InvalidNumber:
        raise ValidationError(_("Il codice fiscale contiene un errore: ricontrolla tutte le 11 cifre.")) from None


def check_partita_iva(typed: str) -> str:
    """A partita IVA: 11 digits with their check digit; a leading IT is taken off."""
    number = without_country(typed)
    if not re.fullmatch(r"[0-9]{11}", number):
        raise ValidationError(_("La partita IVA ha 11 cifre: controlla quella che hai scritto."))
    try:
        return iva.validate(number)
    except InvalidNumber:
        raise ValidationError(_("La partita IVA contiene un errore: ricontrolla tutte le 11 cifre.")) from None


# --- A personal code against the person -----------------------------------------------------------------------------


def check_surname(code: str, surname: str) -> None:
    """The first three letters of a valid personal `code` are those of `surname`."""
    if _contradicts(code[:3], {surname_letters(letters) for letters in _spellings(surname)}):
        raise ValidationError(
            _("Il codice fiscale non corrisponde al cognome indicato: controlla le prime tre lettere.")
        )


def check_first_name(code: str, first_name: str) -> None:
    """Letters four to six of a valid personal `code` are those of `first_name`, all its names together."""
    if _contradicts(code[3:6], {first_name_letters(letters) for letters in _spellings(first_name)}):
        raise ValidationError(
            _(
                "Il codice fiscale non corrisponde al nome indicato: controlla le lettere dalla quarta alla sesta e "
                "scrivi il nome per intero, come sulla tessera sanitaria."
            )
        )


def check_birth_date(code: str, born: date) -> None:
    """Characters seven to eleven of a valid personal `code` are the date of birth, day plus 40 for a woman."""
    year, month, day = _date_parts(code)
    if (year, month, day) != (born.year % 100, born.month, born.day):
        raise ValidationError(
            _(
                "Il codice fiscale non corrisponde alla data di nascita indicata: controlla i caratteri dal settimo "
                "all'undicesimo."
            )
        )


def surname_letters(letters: str) -> str:
    """The three letters of a surname written in A–Z: consonants, then vowels, then X."""
    return (_consonants(letters) + _vowels(letters) + "XXX")[:3]


def first_name_letters(letters: str) -> str:
    """The three letters of a first name written in A–Z: as a surname, but the second of four consonants is left out."""
    consonants = _consonants(letters)
    if len(consonants) >= 4:
        return consonants[0] + consonants[2] + consonants[3]
    return (consonants + _vowels(letters) + "XXX")[:3]


def _contradicts(written: str, possible: set[str]) -> bool:
    return bool(possible) and written not in possible


def _spellings(name: str) -> set[str]:
    """`name` in the letters A–Z, with ä as A and as AE; empty where another alphabet leaves nothing to compare."""
    upper = unicodedata.normalize("NFC", name).upper()
    spellings = {_plain(upper), _plain(upper.translate(UMLAUTS))}
    return set() if "" in spellings or not all(re.fullmatch(r"[A-Z]+", s) for s in spellings) else spellings


def _plain(upper: str) -> str:
    apart = unicodedata.normalize("NFKD", upper.translate(WHOLE_LETTERS))
    return "".join(c for c in apart if c.isalpha())


def _consonants(letters: str) -> str:
    return "".join(c for c in letters if c not in VOWELS)


def _vowels(letters: str) -> str:
    return "".join(c for c in letters if c in VOWELS)


def _date_parts(code: str) -> tuple[int, int, int]:
    """Two-digit year, month and day of birth of a personal code, omocodia and the women's 40 undone."""
    year = int(code[6:8].translate(OMOCODIA))
    day = int(code[9:11].translate(OMOCODIA))
    return year, MONTHS.index(code[8]) + 1, day - WOMEN_OFFSET if day > WOMEN_OFFSET else day


def _has_real_date(code: str) -> bool:
    year, month, day = _date_parts(code)
    try:
        date(2000 + year, month, day)  # the century is not written; it changes nothing but 29 February 1900
    except ValueError:
        return False
    return True


# --- Address --------------------------------------------------------------------------------------------------------


def check_cap(typed: str) -> str:
    """An Italian CAP: five digits, 00010 to 98168."""
    cap = compact(typed)
    if not re.fullmatch(r"[0-9]{5}", cap):
        raise ValidationError(_("Il CAP ha 5 cifre, come 00184: controlla quello che hai scritto."))
    if not LOWEST_CAP <= int(cap) <= HIGHEST_CAP:
        raise ValidationError(_("Nessun comune ha il CAP %(cap)s: controllalo.") % {"cap": cap})
    return cap


def check_province(typed: str) -> str:
    """The two letters of one of the 107 Italian provinces."""
    province = compact(typed)
    if province not in PROVINCES:
        raise ValidationError(_("Scrivi la sigla di una provincia italiana, come RM o MI."))
    return province


def check_phone(typed: str) -> str:
    """A telephone number: 6 to 15 digits, a plus in front at most; spaces and signs are taken off."""
    number = re.sub(r"[\s.\-–/()]", "", unicodedata.normalize("NFKC", typed))
    if not re.fullmatch(r"\+?[0-9]{6,15}", number):
        raise ValidationError(_("Scrivi il numero di telefono con le sole cifre, come 06 1234567 o +39 333 1234567."))
    return number


# --- Where invoices go ----------------------------------------------------------------------------------------------


def check_private_sdi_code(typed: str) -> str:
    """The seven characters of a private customer's codice destinatario."""
    code = compact(typed)
    if re.fullmatch(r"[A-Z0-9]{6}", code):
        raise ValidationError(
            _("Il codice destinatario ha 7 caratteri: quello di 6 è delle pubbliche amministrazioni.")
        )
    if not re.fullmatch(r"[A-Z0-9]{7}", code):
        raise ValidationError(
            _("Il codice destinatario ha 7 caratteri, solo lettere e cifre: controlla quello che hai scritto.")
        )
    return code


def check_public_sdi_code(typed: str) -> str:
    """The six characters of a public office's codice univoco ufficio (IPA)."""
    code = compact(typed)
    if not re.fullmatch(r"[A-Z0-9]{6}", code):
        raise ValidationError(
            _("Il codice univoco ufficio ha 6 caratteri, solo lettere e cifre: lo trovi su indicepa.gov.it.")
        )
    return code


# --- Words ----------------------------------------------------------------------------------------------------------


def check_words(typed: str) -> str:
    """Names and addresses: composed letters, single spaces, no control or invisible characters."""
    text = unicodedata.normalize("NFC", typed.strip())
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"):
            raise ValidationError(
                _("C'è un carattere invisibile che non si può usare: cancella e riscrivi il testo a mano.")
            )
    return " ".join(text.split())


def check_invoice_words(text: str) -> None:
    """What an e-invoice can carry: the letters of Western Europe (the format's Latin-1 fields)."""
    for character in text:
        if ord(character) > 0xFF:
            raise ValidationError(
                _("Il carattere «%(character)s» non si può scrivere in una fattura elettronica: usane uno semplice.")
                % {"character": character}
            )
