# `make demo` and `make test` are all a newcomer needs: both set up what they use in .venv.
# With another Python (make test PYTHON=python3.13) they set up .venv-python3.13 instead.
PYTHON ?= python3
PYTHON2 ?= python2.7
VENV ?= .venv$(if $(filter-out python3 python,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help setup demo test test-core test-lowest test-together test-package autobahn check fmt cov docs pictures bench chaos soak interop clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

# Two stamps, so that the demo does not wait for the test tools.
$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[all]' --group dev
	@touch $@ $(VENV)/.demo

# The official JavaScript client, for the interop tests; without npm they skip and say so.
tests/interop/node_modules/.stamp: tests/interop/package.json
	@if command -v npm >/dev/null; then cd tests/interop && npm install --no-audit --no-fund --silent && touch node_modules/.stamp; \
	else echo "npm is not installed: the JavaScript interop tests will skip"; fi

setup: $(VENV)/.dev tests/interop/node_modules/.stamp ## install everything for development into .venv

demo: $(VENV)/.demo ## stream a moving picture through a local Klein; results in ./falrt-demo/
	$(BIN)/falrt demo

check: $(VENV)/.dev ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing/api.py
	$(BIN)/pytest -q tests/test_architecture.py

test: setup check cov ## all tests, the official clients and server included
	$(BIN)/pytest -q -n $(JOBS) --ignore=tests/protocol

test-core: $(VENV)/.dev ## the core's tests alone; FALRT_TEST_LOOP=uvloop or eager runs them on another loop
	$(BIN)/pytest -q -n $(JOBS) tests/protocol tests/connection tests/auth tests/sync tests/test_*.py

interop: setup ## with the official clients and fal's own server; FALRT_TEST_LOOP as above
	$(BIN)/pytest -q -n $(JOBS) tests/interop

test-package: $(VENV)/.dev ## build wheel and sdist, install each into an empty environment, run the tutorial there
	$(BIN)/python tests/packaging/check.py

# Its own environment, with the lowest version of everything that pyproject.toml allows.
.venv-lowest/.dev: pyproject.toml tests/packaging/lowest.py
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install -q --upgrade pip
	.venv-lowest/bin/python tests/packaging/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install -q -e '.[all]' --group test -c .venv-lowest/constraints.txt
	@touch $@

# Not the pages and examples: they run the newest servers; the oldest warn, and warnings are errors in tests.
test-lowest: .venv-lowest/.dev ## the core's tests with the lowest version of every dependency
	.venv-lowest/bin/pytest -q -n $(JOBS) tests/protocol tests/connection tests/auth tests/test_*.py \
	  --deselect tests/test_docs.py --deselect tests/test_examples.py

test-together: $(VENV)/.dev ## resolve falrt together with other clients that use websockets
	$(BIN)/python tests/packaging/together.py

.autobahn/suite:
	$(PYTHON2) -m pip install -q --disable-pip-version-check --target $@ autobahntestsuite

autobahn: $(VENV)/.dev .autobahn/suite ## run Autobahn's WebSocket test cases (PYTHON2=a Python 2.7)
	$(BIN)/python -m chaos.autobahn --python2 $(PYTHON2)

cov: $(VENV)/.dev ## line and branch coverage of the pure core, which must be complete
	$(BIN)/coverage run -m pytest -q tests/protocol
	$(BIN)/coverage report --include='falrt/protocol/*' --fail-under=100

docs: $(VENV)/.dev ## build the site (docs/_build), warnings are errors; run every code block, follow the links
	$(BIN)/sphinx-build -q -E -W --keep-going -j $(JOBS) docs docs/_build
	$(BIN)/pytest -q tests/test_docs.py tests/test_wire.py

pictures: $(VENV)/.dev ## make the pictures of the pages again
	$(BIN)/python docs/pictures/make.py

bench: $(VENV)/.dev ## compare with fal-client and a bare socket loop; then how fresh the pictures are
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.freshness
	$(BIN)/python -m benchmarks.freshness_live

chaos: $(VENV)/.dev ## five minutes of seeded faults over real sockets (SECONDS=300 SEED=n LOOP=uvloop)
	$(BIN)/python -m chaos.run --seconds $(or $(SECONDS),300) $(if $(SEED),--seed $(SEED)) $(if $(LOOP),--loop $(LOOP))

soak: $(VENV)/.dev ## two hundred connections streaming for ten minutes (MINUTES=10)
	$(BIN)/python -m chaos.soak --minutes $(or $(MINUTES),10)

fmt: $(VENV)/.dev ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what the other commands made
	rm -rf .venv .venv-* dist falrt-demo falrt-stream tests/interop/node_modules .pytest_cache .mypy_cache .ruff_cache
