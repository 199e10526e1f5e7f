"""Italian fiscal data: tables of cases."""

from datetime import date

import pytest
from django.core.exceptions import ValidationError

from accounts import fiscal
from accounts.places import PROVINCES, country_choices


def refusal(check, *arguments) -> str:
    with pytest.raises(ValidationError) as caught:
        check(*arguments)
    return caught.value.messages[0]


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        (" rss mra 85t10 a562s ", "RSSMRA85T10A562S"),
        ("RSS-MRA-85T10-A562S", "RSSMRA85T10A562S"),
        ("ＲＳＳＭＲＡ85T10A562S", "RSSMRA85T10A562S"),  # full-width letters, as a phone may paste them
        ("CNTCHR83T41D969D", "CNTCHR83T41D969D"),  # a woman: day 41
    ],
)
def test_a_personal_code_is_normalised(typed, stored):
    assert fiscal.check_personal_code(typed) == stored


@pytest.mark.parametrize(
    "first15",
    ["RSSMRA85T10A56N", "RSSMRA85T10A5SN", "RSSMRA85T1LARSN", "RSSMRAURTMLARSN"],  # one digit replaced … all seven
)
def test_a_code_with_replaced_digits_is_valid_and_keeps_its_date(first15, personal_code):
    code = personal_code(first15)
    assert fiscal.check_personal_code(code) == code
    fiscal.check_birth_date(code, date(1985, 12, 10))
    assert refusal(fiscal.check_birth_date, code, date(1985, 12, 11)).startswith(
        "Il codice fiscale non corrisponde alla data"
    )


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("RSSMRA85T10A562T", "Il codice fiscale contiene un errore: ricontrolla tutti i 16 caratteri."),
        ("RSSMRA85T10A562", "Il codice fiscale ha 16 caratteri: ne hai scritti 15."),
        ("R", "Il codice fiscale ha 16 caratteri: ne hai scritto 1."),
        (
            "RSSMR085T10A562S",
            "Il codice fiscale non ha la forma giusta: controlla di non aver scambiato lettere e cifre, come O e 0.",
        ),
        (
            "00743110157",
            "Il codice fiscale di una persona ha 16 caratteri: quello di 11 cifre è di società ed enti.",
        ),
    ],
)
def test_a_wrong_personal_code_is_told_what_to_check(typed, sentence):
    assert refusal(fiscal.check_personal_code, typed) == sentence


@pytest.mark.parametrize("day", ["00", "32", "40", "72", "81", "99"])
def test_a_day_that_does_not_exist_is_refused(day, personal_code):
    assert refusal(fiscal.check_personal_code, personal_code(f"RSSMRA85T{day}A562")) == (
        "La data di nascita scritta nel codice fiscale non esiste: controlla i caratteri dal settimo all'undicesimo."
    )


def test_30_february_is_refused_and_29_needs_a_leap_year(personal_code):
    assert fiscal.check_personal_code(personal_code("RSSMRA84B29A562"))
    assert fiscal.check_personal_code(personal_code("RSSMRA00B69A562"))  # 29 February 2000, a woman
    for first15 in ("RSSMRA85B29A562", "RSSMRA84B30A562"):
        assert "non esiste" in refusal(fiscal.check_personal_code, personal_code(first15))


@pytest.mark.parametrize(
    ("surname", "letters"),
    [
        ("Rossi", "RSS"),
        ("Fo", "FOX"),
        ("Re", "REX"),
        ("Aie", "AIE"),
        ("Bianchi", "BNC"),
        ("D'Amico", "DMC"),
        ("D’Amico", "DMC"),
        ("Dalla Chiesa", "DLL"),
        ("De Rossi-Verdi", "DRS"),
        ("Niccolò", "NCC"),
        ("Però", "PRE"),
        ("Ünal", "NLU"),
        ("Yu", "YUX"),
    ],
)
def test_the_letters_of_a_surname(surname, letters):
    fiscal.check_surname(letters + "MRA85T10A562S", surname)
    assert refusal(fiscal.check_surname, "ZZZMRA85T10A562S", surname) == (
        "Il codice fiscale non corrisponde al cognome indicato: controlla le prime tre lettere."
    )


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Mario", "MRA"),
        ("Gianfranco", "GFR"),  # four consonants or more: the first, third and fourth
        ("Maria Teresa", "MTR"),
        ("Alice", "LCA"),
        ("Ugo", "GUO"),
        ("Al", "LAX"),
        ("Io", "IOX"),
        ("Zoë", "ZOE"),
        ("Niccolò", "NCL"),
        ("Jörg", "JRG"),
    ],
)
def test_the_letters_of_a_first_name(name, letters):
    fiscal.check_first_name("RSS" + letters + "85T10A562S", name)
    assert refusal(fiscal.check_first_name, "RSSQQQ85T10A562S", name).startswith(
        "Il codice fiscale non corrisponde al nome indicato: controlla le lettere dalla quarta alla sesta"
    )


def test_an_umlaut_may_be_written_either_way():
    fiscal.check_surname("LAXMRA85T10A562S", "Äl")
    fiscal.check_surname("LAEMRA85T10A562S", "Äl")


def test_a_name_in_another_alphabet_cannot_be_compared():
    fiscal.check_surname("VNVMRA85T10A562S", "Иванов")
    fiscal.check_first_name("RSSMRA85T10A562S", "李")


@pytest.mark.parametrize(
    ("first15", "born"),
    [
        ("RSSMRA85T10A562", date(1985, 12, 10)),
        ("CNTCHR83T41D969", date(1983, 12, 1)),
        ("RSSMRA03A71A562", date(2003, 1, 31)),
    ],
)
def test_the_birth_date_is_in_the_code_plus_40_for_a_woman(first15, born, personal_code):
    code = personal_code(first15)
    fiscal.check_birth_date(code, born)
    for wrong in (born.replace(year=born.year + 1), born.replace(day=15)):
        assert refusal(fiscal.check_birth_date, code, wrong) == (
            "Il codice fiscale non corrisponde alla data di nascita indicata: controlla i caratteri dal settimo "
            "all'undicesimo."
        )


@pytest.mark.parametrize(("typed", "stored"), [("00743110157", "00743110157"), (" 007 4311 0157", "00743110157")])
def test_a_body_code_is_eleven_digits(typed, stored):
    assert fiscal.check_body_code(typed) == stored


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("00743110158", "Il codice fiscale contiene un errore: ricontrolla tutte le 11 cifre."),
        ("0074311015", "Il codice fiscale di una società o di un ente ha 11 cifre: controlla quello che hai scritto."),
        ("00000000000", "Il codice fiscale contiene un errore: ricontrolla tutte le 11 cifre."),
        (
            "RSSMRA85T10A562S",
            "Questo è il codice fiscale di una persona: qui serve quello della società o dell'ente, di 11 cifre.",
        ),
    ],
)
def test_a_wrong_body_code_is_told_what_to_check(typed, sentence):
    assert refusal(fiscal.check_body_code, typed) == sentence


@pytest.mark.parametrize(("typed", "stored"), [("IT 00743110157", "00743110157"), ("it00743110157", "00743110157")])
def test_a_partita_iva_loses_its_country(typed, stored):
    assert fiscal.check_partita_iva(typed) == stored


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("00743110158", "La partita IVA contiene un errore: ricontrolla tutte le 11 cifre."),
        ("DE123456789", "La partita IVA ha 11 cifre: controlla quella che hai scritto."),
        ("٠٠٧٤٣١١٠١٥٧", "La partita IVA ha 11 cifre: controlla quella che hai scritto."),  # digits of another script
    ],
)
def test_a_wrong_partita_iva_is_told_what_to_check(typed, sentence):
    assert refusal(fiscal.check_partita_iva, typed) == sentence


@pytest.mark.parametrize("cap", ["00184", "98168", "00010", " 20121 "])
def test_a_cap(cap):
    assert fiscal.check_cap(cap) == cap.strip()


@pytest.mark.parametrize("cap", ["0184", "001844", "0018A"])
def test_what_is_no_cap(cap):
    assert refusal(fiscal.check_cap, cap) == "Il CAP ha 5 cifre, come 00184: controlla quello che hai scritto."


@pytest.mark.parametrize("cap", ["00009", "98169", "99999", "00000"])
def test_a_cap_that_no_place_has(cap):
    assert refusal(fiscal.check_cap, cap) == f"Nessun comune ha il CAP {cap}: controllalo."


def test_there_are_107_provinces_and_abroad_is_none_of_them():
    assert len(PROVINCES) == 107
    assert fiscal.check_province("rm") == "RM"
    for wrong in ("EE", "XX", "ROMA", "R"):
        assert refusal(fiscal.check_province, wrong) == "Scrivi la sigla di una provincia italiana, come RM o MI."


def test_countries_begin_with_italy():
    assert country_choices()[0] == ("IT", "Italia")


def test_destination_codes():
    assert fiscal.check_private_sdi_code(" m5uxcr1 ") == "M5UXCR1"
    assert fiscal.check_public_sdi_code("uf1x2y") == "UF1X2Y"
    assert refusal(fiscal.check_private_sdi_code, "UF1X2Y") == (
        "Il codice destinatario ha 7 caratteri: quello di 6 è delle pubbliche amministrazioni."
    )
    assert refusal(fiscal.check_private_sdi_code, "M5UXCR1A").startswith("Il codice destinatario ha 7 caratteri, solo")
    assert refusal(fiscal.check_public_sdi_code, "M5UXCR1").startswith("Il codice univoco ufficio ha 6 caratteri")


@pytest.mark.parametrize(("typed", "stored"), [("06 1234567", "061234567"), ("+39 333-1234567", "+393331234567")])
def test_a_phone_number(typed, stored):
    assert fiscal.check_phone(typed) == stored


@pytest.mark.parametrize("typed", ["12345", "06-chiedere", "++39333123456", "1234567890123456"])
def test_what_is_no_phone_number(typed):
    assert refusal(fiscal.check_phone, typed).startswith("Scrivi il numero di telefono con le sole cifre")


def test_words_are_one_line_without_invisible_characters():
    assert fiscal.check_words("  via   Roma,  1 ") == "via Roma, 1"
    assert fiscal.check_words("Nicolo\u0300") == "Nicolò"
    for hidden in ("via\x00Roma", "via\x07Roma", "via\nRoma", "via\u202eRoma", "via\u200bRoma"):
        assert refusal(fiscal.check_words, hidden).startswith("C'è un carattere invisibile")


def test_an_invoice_takes_western_letters_only():
    fiscal.check_invoice_words("Società Müller & Figli, via Forlì 3/b")
    assert refusal(fiscal.check_invoice_words, "Łódź") == (
        "Il carattere «Ł» non si può scrivere in una fattura elettronica: usane uno semplice."
    )
