"""What a log line holds: when, how bad, from where, and of an exception no variable's value."""

import json
import os
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

ROOT = Path(__file__).resolve().parent.parent
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


def test_the_access_log_tells_no_search_and_no_referer(rf):
    """gunicorn's own format writes both, and a list is searched by name or fiscal code (R33)."""
    config = Config()
    for name, value in runpy.run_path(str(ROOT / "gunicorn.conf.py")).items():
        if name in config.settings:
            config.set(name, value)
    request = SimpleNamespace(headers=[("REFERER", "https://area.provider.it/area-clienti/pec/?q=RSSLCA80A41H501U")])
    response = SimpleNamespace(status="200 OK", sent=512, headers=[])
    environ = {
        **rf.get("/area-clienti/pec/?q=RSSLCA80A41H501U").environ, "RAW_URI": "/area-clienti/pec/?q=RSSLCA80A41H501U",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_REFERER": request.headers[0][1], "REMOTE_ADDR": "192.0.2.7",
    }  # fmt: skip
    logger = Logger(config)
    atoms = logger.atoms(response, request, environ, timedelta(milliseconds=34))
    line = config.access_log_format % logger.atoms_wrapper_class(atoms)
    assert line.partition("] ")[2] == "GET /area-clienti/pec/ 200 512 bytes 34 ms"
