# Every target sets up what it needs by itself; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup system demo test coverage check scale prove lint fmt types arch bench docs lock clean
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
T ?= tests
WORKERS ?= 3
# Unit tests that measure time or memory: they have a process and a processor of their own, and no coverage.
TIMED := $(patsubst %,tests/unit/domain/test_%.py,expression_bounds expression_hostile expression_tricks template_hostile) \
  $(patsubst %,tests/unit/daemon/test_%.py,event_log strict_yaml)
# Handlers that are tested where they meet the database.
MEETING := $(patsubst %,tests/integration/test_%.py,campaigns campaign_words campaign_promises bugs_of_the_original contacts whatsapp_events number_watch \
  server_tests server_cycles)
SCALES ?= ten_thousand_checks two_thousand_campaigns
OTHERS := $(filter-out tests/unit/ tests/__pycache__/,$(wildcard tests/*/))
SOURCES := domain handlers daemon localstack tests
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv comes from the lock too, its hash checked; where it can't run, pip installs the same lock.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "robotd needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
	  || { echo "this Python has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing the locked dependencies into .venv"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock \
	  || $(BIN)/python -m pip install --quiet --compile --require-hashes --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --compile-bytecode --editable . \
	  || $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(SOURCES)
	@touch $(STAMP)

setup: $(STAMP) ## virtual environment with the locked dependencies, bytecode compiled

# The tests start a MariaDB and a mail host of their own; root gets their packages installed, others are told what to do.
MAIL_PACKAGES := postfix dovecot-core dovecot-imapd dovecot-lmtpd
HAS_MAIL := [ "$$(id -u)" = 0 ] && command -v postfix >/dev/null && command -v dovecot >/dev/null
system:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; if ! command -v mariadbd >/dev/null || ! command -v mariadb-install-db >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing MariaDB for the tests"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      mariadb-server-core mariadb-client-core >/dev/null; \
	  else \
	    echo "MariaDB is missing: its tests will be skipped by name. To run them: sudo apt-get install mariadb-server-core mariadb-client-core"; \
	  fi; fi
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; if ! { $(HAS_MAIL); }; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Postfix and Dovecot for the tests; their services are not started"; \
	    if [ ! -e /usr/sbin/policy-rc.d ]; then \
	      trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; fi; \
	    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MAIL_PACKAGES) >/dev/null; \
	  else \
	    echo "no real mail host without root: its tests will be skipped by name. To run them as root: apt-get install $(MAIL_PACKAGES)"; \
	  fi; fi

	@if [ ! -x $(BIN)/promtool ]; then \
	  if command -v promtool >/dev/null; then mkdir -p $(BIN); ln -sf "$$(command -v promtool)" $(BIN)/promtool; \
	  elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "taking promtool out of Debian's prometheus for the tests; nothing is installed"; \
	    mkdir -p $(BIN); place=$$(mktemp -d /tmp/robotd-promtool.XXXXXX); trap 'rm -rf "$$place"' EXIT; chmod 755 "$$place"; \
	    apt-get update -qq && (cd "$$place" && apt-get download -qq prometheus >/dev/null 2>&1) \
	      && dpkg-deb --fsys-tarfile "$$place"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$$place/promtool" \
	      && install -m 755 "$$place/promtool" $(BIN)/promtool; \
	  else \
	    echo "promtool is missing: the tests of alerts will be skipped by name. To run them: apt-get install prometheus"; \
	  fi; fi

demo: $(STAMP) ## a day in one home, a campaign, delivery servers, in the terminal: no AWS, no MySQL, no Docker
	@$(BIN)/robotd demo

# All of them: the units under coverage first, then what measures, then the rest. Nothing runs twice.
test: $(STAMP) system ## every test, MariaDB and mail included; a part with T=tests/unit, in a row with WORKERS=0
	@if [ "$(T)" = tests ]; then $(MAKE) --no-print-directory coverage; fi
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v mariadbd >/dev/null || export ROBOTD_TEST_WITHOUT_MARIADB=1; \
	{ $(HAS_MAIL); } || export ROBOTD_TEST_WITHOUT_MAIL=1; \
	memory=/dev/shm; test -w $$memory || memory=/tmp; \
	TMPDIR=$$(mktemp -d $$memory/robotd-tests.XXXXXX); export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT; \
	if [ "$(T)" = tests ]; then $(BIN)/python -m pytest -n 0 $(TIMED); fi; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(if $(filter tests,$(T)),$(OTHERS) $(MEETING:%=--ignore=%),$(T))

coverage: $(STAMP) system ## how much of domain and handlers the tests reach; less than 95 % of lines and branches fails
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v mariadbd >/dev/null || export ROBOTD_TEST_WITHOUT_MARIADB=1; \
	{ $(HAS_MAIL); } || export ROBOTD_TEST_WITHOUT_MAIL=1; \
	memory=/dev/shm; test -w $$memory || memory=/tmp; \
	TMPDIR=$$(mktemp -d $$memory/robotd-tests.XXXXXX); export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT; \
	export COVERAGE_FILE="$$TMPDIR/coverage"; \
	$(BIN)/python -m coverage run -m pytest -n $(WORKERS) --dist loadgroup tests/unit $(MEETING) $(TIMED:%=--ignore=%); \
	$(BIN)/python -m coverage combine --quiet; \
	$(BIN)/python -m coverage report

check: lint types arch test ## what CI runs: lint, types, rooms, tests

# Alone on the machine: checks a quarter of an hour on each engine, campaigns forty minutes.
scale: $(STAMP) system ## ten thousand open checks with a hundred thousand events; two thousand campaigns at once
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v mariadbd >/dev/null || export ROBOTD_TEST_WITHOUT_MARIADB=1; \
	ROBOTD_TEST_SCALE=full $(BIN)/python -m pytest -n 0 -s $(SCALES:%=tests/e2e/test_%.py)

prove: $(STAMP) system ## kill -9 and chaos at full amounts; SEED= repeats a run
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v mariadbd >/dev/null || export ROBOTD_TEST_WITHOUT_MARIADB=1; \
	memory=/dev/shm; test -w $$memory || memory=/tmp; \
	TMPDIR=$$(mktemp -d $$memory/robotd-tests.XXXXXX); export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT; \
	ROBOTD_PROOF=full ROBOTD_PROOF_SEED=$(SEED) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/proof/test_campaign_*.py tests/proof/test_server_*.py tests/integration/test_campaign*.py \
	  tests/integration/test_bugs_*.py tests/integration/test_contacts_to_campaign.py tests/integration/test_server_*.py

lint: $(STAMP) ## ruff with all rules, format, Dockerfile
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/hadolint Dockerfile

fmt: $(STAMP) ## format, and fix what can be fixed by itself
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

types: $(STAMP) ## mypy strict on source and tests
	@$(BIN)/mypy --no-error-summary

arch: $(STAMP) ## the rooms and who may import whom
	@$(BIN)/lint-imports --no-logo >.venv/arch.txt || { cat .venv/arch.txt; exit 1; }

bench: $(STAMP) system ## messages/s, sends/s and CPU against bare loops, in one run
	@$(BIN)/python -m tests.bench.spine
	@$(BIN)/python -m tests.bench.campaigns
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; $(BIN)/python -m tests.bench.server_tests
	@$(BIN)/python tests/bench/store_rate.py
	@$(BIN)/python tests/bench/expressions_cost.py

docs: $(STAMP) ## write the generated pages anew
	@$(BIN)/python -m daemon.settings_report docs/configuration.md
	@$(BIN)/python -m daemon.metrics_report docs
	@$(BIN)/robotd templates schema >.venv/schema.json && mv .venv/schema.json docs/contracts/status-check-template.schema.json
	@$(BIN)/python -m daemon.contracts write

lock: $(STAMP) ## resolve the dependencies anew: all, and what the image needs
	@$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --all-extras --universal --generate-hashes --no-emit-index-url \
	  --no-annotate --python-version 3.11 --custom-compile-command "make lock" --output-file requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --quiet --extra mail --constraint requirements.lock --universal --generate-hashes \
	  --no-emit-index-url --no-annotate --python-version 3.11 --custom-compile-command "make lock" \
	  --output-file requirements-image.lock

clean: ## remove everything that the other targets made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
