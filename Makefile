# Two commands: `make run` and `make test`; both need only Python 3.11+ and make.
# `make check` is the quick part of the tests with the linters, under a minute.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.PHONY: run test check lint unit bench generate lock image clean help

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements/test.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "mailbridge needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV) || { echo 'no venv module: on Debian, apt-get install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

## make run       fresh machine -> environment built, bridge running against the built-in SMSC simulator
run: $(STAMP)
	@exec $(BIN)/mailbridge demo

## make test      fresh machine -> environment built, every test run (installs foreign programs when root on Debian)
test: $(STAMP)
	@scripts/install-test-programs
	@scripts/test

## make check     linters, types, generated files, and the quick tests: under a minute
check: $(STAMP)
	@scripts/check

## make lint      linters, types and generated files alone
lint: $(STAMP)
	@scripts/lint

## make bench     measure for a quarter of an hour; prints tables (scripts/bench --help)
bench: $(STAMP)
	@scripts/bench

## make generate  write config.example.yaml and the reference pages anew from the code
generate: $(STAMP)
	$(BIN)/python scripts/generate

## make lock      pin every dependency anew
lock:
	scripts/lock

## make image     build the container image and send a mail through it (docker, or buildah as root on Debian)
image: $(STAMP)
	scripts/build-image

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
