# `make help` says what there is.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.stamp
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Engines need root. Where this is not root but `sudo -n` works, that is used, and what it made is given back; where
# neither is so, the command runs as it is and says what is missing.
define as_root
if [ "$$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null; then exec $(1); fi; \
sudo -n env PYTHONDONTWRITEBYTECODE=1 $$(env | grep -iE '^[a-z]+_proxy=' || true) $(1); code=$$?; \
sudo -n find . -xdev -user root -exec chown -h "$$(id -u):$$(id -g)" {} +; \
exit $$code
endef

.PHONY: help setup demo test test-quick mutants soak lint docs bench clean

MINUTES ?= 10

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup: $(STAMP) ## make .venv with all that is needed, and .venv/bin/roj

# Editable mode "compat" is a path, for Python's own search; by default each start of Python loads a finder first (10 ms).
# Debian's Python comes without ensurepip, which `venv` needs: python3-venv has it.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Installing python3-venv with apt-get: not there yet"; \
	$$([ "$$(id -u)" = 0 ] || echo sudo -n) env DEBIAN_FRONTEND=noninteractive \
	apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	touch $(STAMP)

demo: setup ## play the README's tutorial, on a Consul and a Docker Engine of its own
	@$(BIN)/python -m demo

test: setup ## run every test; fails where the engines cannot run
	@$(call as_root,$(BIN)/python -m pytest)

test-quick: setup ## run the tests that need no engines
	$(BIN)/python -m pytest tests/unit tests/property

mutants: setup ## plant bugs, one after another: each must be found (20 minutes on 2 cores)
	$(BIN)/python -m tests.property.mutants $(ARGUMENTS)

soak: setup ## run the simulation on all cores, with fresh seeds; `make soak MINUTES=60`
	$(BIN)/python -m tests.property.soak $(MINUTES) $(ARGUMENTS)

lint: setup ## check format, lint, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## make the generated pages anew
	$(BIN)/python -m roj.cli.reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md
	$(BIN)/python -m roj.cli.schema > docs/app.md.new
	mv docs/app.md.new docs/app.md

bench: setup ## measure, on engines of its own; `make bench ARGUMENTS=--write` keeps it in docs/performance.md
	@$(call as_root,$(BIN)/python -m benchmarks $(ARGUMENTS))

clean: ## remove what make made: .venv, engines that were fetched, caches
	rm -rf $(VENV) .engines .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
