# Every target may be run again at any time. Needs nothing but make and, on Debian and Ubuntu, what it installs itself.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.PHONY: help setup run test check bench soak lock system mail-system

PORT ?= 8000
STEPS ?= 30000
BOXES ?= 3000
PYTHON := .venv/bin/python
COMPILE := $(PYTHON) -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet

help:
	echo "make run     set up, and serve the demo at http://localhost:$(PORT) (PORT=8080 make run for another port)"
	echo "make test    the whole suite, on a throwaway PostgreSQL and Redis"
	echo "make check   linters, types, layers, templates, deployment and database checks, known vulnerabilities"
	echo "make bench   figures against their limits, on a throwaway PostgreSQL and Redis"
	echo "make soak    the state machine of orders and money for $(STEPS) steps (STEPS=100000 make soak for more),"
	echo "             then five years of days over $(BOXES) random boxes (BOXES=10000 for more)"
	echo "make setup   the virtual environment alone"
	echo "make lock    write both lock files anew from pyproject.toml"

# Become root for one command where that needs no password; otherwise say the line to run, and stop.
define INSTALL
install() {
	local line="apt-get install -y --no-install-recommends $$*" root=""
	if ! command -v apt-get >/dev/null; then echo "Please install what these Debian packages hold, then run this again: $$*"; exit 1; fi
	if [ "$$(id -u)" != 0 ]; then root="sudo -n"; fi
	if [ -n "$$root" ] && ! $$root true 2>/dev/null; then echo "Please run this line, then this target again:"; echo "  sudo $$line"; exit 1; fi
	echo "Installing $$* …"
	$$root apt-get update -qq
	$$root env DEBIAN_FRONTEND=noninteractive $$line -qq >/dev/null
}
endef

setup:
	$(INSTALL)
	new_enough() { command -v "$$1" >/dev/null && "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
	find_python() { for name in python3 python3.13 python3.12 python3.11; do if new_enough "$$name"; then echo "$$name"; return; fi; done; }
	if ! new_enough $(PYTHON); then
		python=$$(find_python)
		if [ -z "$$python" ]; then install python3 python3-venv; python=$$(find_python); fi
		if [ -z "$$python" ]; then echo "pecportal needs Python 3.11 or later, and found none on this machine."; exit 1; fi
		if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then install python3-venv; fi
		echo "Making the virtual environment .venv with $$("$$python" --version) …"
		rm -rf .venv
		"$$python" -m venv .venv
	fi
	want=$$($(PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(open("requirements-dev.lock", "rb").read()).hexdigest(), *sys.version_info[:2])')
	if [ "$$want" != "$$(cat .venv/.installed 2>/dev/null || true)" ]; then
		echo "Installing the packages of requirements-dev.lock …"
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
		echo "$$want" > .venv/.installed
	fi

run: setup
	export PORT=$(PORT) SITE_URL="$${SITE_URL:-http://localhost:$(PORT)}"
	logins="$${VAR_DIR:-var}/demo-logins.txt"
	if ! $(PYTHON) -c 'import os, socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(os.environ["PORT"])))' 2>/dev/null; then
		echo "Port $(PORT) is taken. Choose another one: PORT=8080 make run"; exit 1
	fi
	echo "Preparing the database and the static files …"
	$(PYTHON) manage.py migrate --noinput -v 0
	$(PYTHON) manage.py collectstatic --noinput -v 0
	if [ "$$($(PYTHON) manage.py shell -v 0 -c 'from accounts.models import User; print(User.objects.exists())')" = False ]; then
		echo "The database is new: filling it with the demo …"
		$(PYTHON) manage.py demo | tee "$$logins.part"
		mv "$$logins.part" "$$logins"
	elif [ -f "$$logins" ]; then
		echo "The database keeps what was done before (manage.py demo makes the demo anew)."
		cat "$$logins"
	fi
	$(PYTHON) manage.py seed_timetable
	echo
	echo "$$SITE_URL/accesso/  (Ctrl-C stops everything)"
	# should make itself be killed, the system tells honcho, which stops the rest
	exec $$(command -v setpriv >/dev/null && echo setpriv --pdeathsig INT) $(PYTHON) -m honcho start

# What the suite needs of the system, by what it does and not by a package's name: other distributions name them otherwise.
system:
	$(INSTALL)
	missing=""
	library() { { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -F "$$1" >/dev/null; }  # not -q: it ends early, and pipefail sees that
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=" postgresql"
	command -v redis-server >/dev/null || missing+=" redis-server"
	[ -x /usr/bin/chromium ] || missing+=" chromium"
	command -v msgfmt >/dev/null || missing+=" gettext"
	library libpango-1.0.so.0 || missing+=" libpango-1.0-0"
	library libpangoft2-1.0.so.0 || missing+=" libpangoft2-1.0-0"
	library libharfbuzz-subset.so.0 || missing+=" libharfbuzz-subset0"
	if [ -n "$$missing" ]; then install $$missing; fi

# What the tests of the mail platform start. They need root, as Dovecot and Postfix do: without it the suite says that it
# skipped them. Nothing is started or enabled here: the tests start their own.
mail-system:
	missing=""
	[ -x /usr/lib/dovecot/imap ] || missing+=" dovecot-core dovecot-imapd"
	[ -x /usr/lib/dovecot/lmtp ] || missing+=" dovecot-lmtpd"
	[ -e /usr/lib/dovecot/modules/auth/libdriver_pgsql.so ] || missing+=" dovecot-pgsql"
	[ -x /usr/sbin/postfix ] || missing+=" postfix"
	[ -e /usr/lib/postfix/postfix-pgsql.so ] || missing+=" postfix-pgsql"
	if [ -z "$$missing" ]; then exit 0; fi
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "The tests of the mail platform will be skipped: they need root and these Debian packages:$$missing"; exit 0
	fi
	$(INSTALL)
	made=""
	if [ ! -e /usr/sbin/policy-rc.d ]; then printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=yes; fi
	trap 'if [ -n "$$made" ]; then rm -f /usr/sbin/policy-rc.d; fi' EXIT
	install $$missing || { echo "The tests of the mail platform will be skipped: these could not be installed:$$missing"; exit 0; }
	if [ -d /run/systemd/system ]; then
		for unit in dovecot postfix; do case "$$missing" in *" $$unit"*) systemctl disable --quiet "$$unit" || true;; esac; done
	fi

test: setup system mail-system
	$(PYTHON) tests/run

check: setup system
	failed=() passed=0
	step() {
		local title=$$1; shift
		echo "== $$title"
		if "$$@"; then passed=$$((passed + 1)); else failed+=("$$title"); fi
	}
	production() {
		local folder secret; folder=$$(mktemp -d); secret() { $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(50))'; }
		ENVIRONMENT=production DEBUG=false VAR_DIR=$$folder SECRET_KEY=$$(secret) TOMBSTONE_KEY=$$(secret) METRICS_TOKEN=$$(secret) \
		SITE_URL=https://area.provider.it ALLOWED_HOSTS=area.provider.it ACCOUNT_DOMAIN=provider.it PEC_DOMAINS=pec.provider.it \
		DATABASE_URL=postgres://pecportal:password@localhost/pecportal DATABASE_POOL=9 REDIS_URL=redis://localhost/0 BROKER_URL=redis://localhost/1 \
		EMAIL_URL=smtp+tls://user:password@localhost:587 OPS_EMAIL=ops@provider.it DEFAULT_FROM_EMAIL=noreply@provider.it \
		PROVIDER_SUPPORT_EMAIL=assistenza@provider.it PROVIDER_PRIVACY_URL=https://provider.it/privacy \
		MAILBOX_PLATFORM=mailboxes.platform.dovecot.DovecotPlatform DOVEADM_URL=http://localhost:8080 DOVEADM_KEY=$$(secret) \
		PAYMENT_PROVIDERS=transfer BANK_IBAN=IT60X0542811101000000123456 INVOICES_FROM=2027-01-01 SDI_ROAD=folder \
		SELLER_NAME="Provider S.p.A." SELLER_PARTITA_IVA=01234560157 SELLER_ADDRESS="via Roma 1" SELLER_POSTAL_CODE=20121 \
		SELLER_CITY=Milano SELLER_PROVINCE=MI "$$@" && rm -rf "$$folder"
	}
	step "ruff: mistakes" $(PYTHON) -m ruff check
	step "ruff: format" $(PYTHON) -m ruff format --check --quiet
	step "imports go only leftwards" .venv/bin/lint-imports
	step "mypy: types" $(PYTHON) -m mypy
	step "djlint: templates" $(PYTHON) -m djlint templates --lint --quiet
	step "check --deploy, as in production" production $(PYTHON) manage.py check --deploy --fail-level WARNING
	step "check --database, on PostgreSQL" tests/with_services $(PYTHON) manage.py check --database default
	step "makemigrations --check" tests/with_services $(PYTHON) manage.py makemigrations --check --dry-run
	step "pip-audit: known vulnerabilities" $(PYTHON) .ci/audit
	echo
	for title in "$${failed[@]}"; do echo "FAILED: $$title"; done
	echo "check: $$passed passed, $${#failed[@]} failed"
	[ $${#failed[@]} = 0 ]

bench: setup system mail-system
	tests/with_services $(PYTHON) tests/bench/run

soak: setup system
	MACHINE_STEPS=$(STEPS) tests/with_services $(PYTHON) -m pytest -q -s --show-capture=no tests/payments/test_machine.py
	SIMULATED_BOXES=$(BOXES) SIMULATED_YEARS=5 tests/with_services $(PYTHON) -m pytest -q -rP --show-capture=stdout -k every_box tests/simulator

lock: setup
	echo "Resolving requirements.lock and requirements-dev.lock …"
	$(COMPILE) -o requirements.lock
	$(COMPILE) --extra dev -o requirements-dev.lock
