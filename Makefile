# `make setup` leaves .venv/bin/roj; `make test` runs every test; `make lint` formats, lints, types and layers.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.stamp

.PHONY: setup test test-quick lint clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

test: setup
	$(VENV)/bin/python -m pytest

test-quick: setup
	$(VENV)/bin/python -m pytest tests/unit tests/property

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV)
