# `make demo` and `make test` are all a newcomer needs: both set up what they use in .venv.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 2

.PHONY: help setup demo test check fmt cov docs bench chaos soak interop clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip

# Two stamps, so that the demo does not wait for the test tools.
.venv/.demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[local]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[all]' --group dev
	@touch $@ .venv/.demo

# The official JavaScript client, for the interop tests; without npm they skip and say so.
tests/interop/node_modules/.stamp: tests/interop/package.json
	@if command -v npm >/dev/null; then cd tests/interop && npm install --no-audit --no-fund --silent && touch node_modules/.stamp; \
	else echo "npm is not installed: the JavaScript interop tests will skip"; fi

setup: .venv/.dev tests/interop/node_modules/.stamp ## install everything for development into .venv

demo: .venv/.demo ## stream a moving picture through a local Klein; results in ./falrt-demo/
	$(BIN)/falrt demo

check: .venv/.dev ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing/api.py
	$(BIN)/pytest -q tests/test_architecture.py

test: setup check cov ## all tests, the official clients and server included
	$(BIN)/pytest -q -n $(JOBS) --ignore=tests/protocol

cov: .venv/.dev ## line and branch coverage of the pure core, which must be complete
	$(BIN)/coverage run -m pytest -q tests/protocol
	$(BIN)/coverage report --include='falrt/protocol/*' --fail-under=100

docs: .venv/.dev ## run every code block of the README and the docs, follow their links
	$(BIN)/pytest -q tests/test_docs.py tests/test_wire.py

bench: .venv/.dev ## compare with fal-client and a bare socket loop; then how fresh the pictures are
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.freshness
	$(BIN)/python -m benchmarks.freshness_live

chaos: .venv/.dev ## five minutes of seeded faults over real sockets (SECONDS=300 SEED=n)
	$(BIN)/python -m chaos.run --seconds $(or $(SECONDS),300) $(if $(SEED),--seed $(SEED))

soak: .venv/.dev ## two hundred connections streaming for ten minutes (MINUTES=10)
	$(BIN)/python -m chaos.soak --minutes $(or $(MINUTES),10)

fmt: .venv/.dev ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what the other commands made
	rm -rf .venv falrt-demo falrt-stream tests/interop/node_modules .pytest_cache .mypy_cache .ruff_cache
