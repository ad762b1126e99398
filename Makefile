# Needs Python 3.11 or newer and make, nothing else: everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help up down test check bench search chaos guards fmt

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

up: $(READY) ## start everything on this machine, with a demo merchant; Ctrl-C stops it
	@$(BIN)/mypay up

down: $(READY) ## stop an `up` that runs elsewhere
	@$(BIN)/mypay down

test: check ## check, and run every test against real PostgreSQL, Kafka and Valkey
	$(BIN)/python -m pytest

check: $(READY) ## style, formatting, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## measure throughput and latency
	$(BIN)/python -m tests.bench

.PHONY: site
site: $(READY) ## build the documentation as a site, in build/site
	@$(BIN)/python -m tests.docs.site

search: $(READY) ## look for what breaks the pure core, with other examples each time
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest tests/simulation tests/properties

.PHONY: fuzz
fuzz: $(READY) ## ask the API what its document allows and forbids, other requests each time: make fuzz SECONDS=300
	$(BIN)/python -m tests.contract.asking $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

.PHONY: docs
docs: $(READY) ## write the generated pages of the documentation
	@$(BIN)/python -m tests.docs.generate

chaos: $(READY) ## payments under random faults, judged: make chaos SEED=21 MINUTES=2
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SCENE),--scene $(SCENE))

.PHONY: soak
soak: $(READY) ## an hour of steady load: does every process hold what it held before?
	$(BIN)/python -m tests.chaos.soak $(if $(MINUTES),--minutes $(MINUTES))

guards: $(READY) ## take each protection away in a copy, and see the judge notice
	$(BIN)/python -m tests.chaos.guards

.PHONY: audit
audit: $(READY) ## known vulnerabilities of what is installed; asks the network
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m tests.audit

fmt: $(READY) ## format, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Runs again only when what is to be installed has changed; the stamp is written last, so half an environment is redone.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "MyPay needs Python 3.11 or newer: name one, as in make PYTHON=python3.12 $(MAKECMDGOALS)."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "This Python lacks the venv module: install it (Debian and Ubuntu: the package python3-venv)."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
