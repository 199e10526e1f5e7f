"""What a log line holds: when, how bad, from where, and of an exception no variable's value."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, django, logging
os.environ["DJANGO_SETTINGS_MODULE"] = "pecportal.settings"
django.setup()
codice_fiscale = "RSSMRA80A01H501U"
try:
    raise ValueError("broken")
except ValueError:
    logging.getLogger("payments").exception("a payment failed")
"""


def logged(environment):
    secrets = {"SECRET_KEY": "a" * 60, "TOMBSTONE_KEY": "b" * 60, "ALLOWED_HOSTS": "localhost"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **secrets, "ENVIRONMENT": environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


@pytest.mark.parametrize("environment", ["development", "production"])
def test_an_exception_is_logged_without_the_values_of_variables(environment):
    said = logged(environment)
    assert "a payment failed" in said
    assert "ValueError: broken" in said
    assert "RSSMRA80A01H501U" not in said.replace('codice_fiscale = "RSSMRA80A01H501U"', "")


def test_in_production_a_line_is_json_with_time_level_and_logger():
    line = json.loads(logged("production").strip())
    assert (line["level"], line["logger"], line["event"]) == ("error", "payments", "a payment failed")
    assert line["timestamp"].endswith("Z")
    assert line["exception"].startswith("Traceback")
