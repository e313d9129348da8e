# Everything a newcomer needs: `make serve`, `make test`. Both do their own set-up, once.

PYTHON ?= python3
PORT ?= $(or $(CYBEROS_PORT),8000)

VENV := .venv
BIN := $(VENV)/bin
SKILLS = $(patsubst %/src/index.ts,%,$(wildcard skills/*/*/src/index.ts))

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help serve test properties fuzz bench campaign psql toolchain lint format schema share digests lock build clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/runtime.stamp build ## Serve on PORT (8000); prints where once it is ready
	@CYBEROS_PORT=$(PORT) exec $(BIN)/python -m subgraph

test: lint $(VENV)/development.stamp build ## Check the code and run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

properties: $(VENV)/development.stamp build ## Try new inputs on every property test: make properties ROUNDS=20
	@for round in $$(seq $(or $(ROUNDS),10)); do \
	  echo "round $$round"; \
	  $(BIN)/python -m pytest -m hypothesis --hypothesis-profile campaign --numprocesses 2 --dist loadfile || exit; \
	done

fuzz: $(VENV)/development.stamp ## Read 100,000 inputs that nobody would write: make fuzz INPUTS=1000
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),100000)

bench: $(VENV)/development.stamp build ## Measure everything that SPECIFICATION.md quotes
	$(BIN)/python -m benchmarks

campaign: $(VENV)/development.stamp build ## Run the long failure campaigns
	$(BIN)/python -m benchmarks.campaign
	$(BIN)/python -m benchmarks.outages

psql: $(VENV)/runtime.stamp ## Open a shell on the database: make psql ARGS='-c "SELECT ..."'
	@$(BIN)/python -m subgraph.storage.psql $(ARGS)

toolchain: $(VENV)/development.stamp ## Install what builds components of Python, Zig and C

lint: $(VENV)/development.stamp ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/development.stamp ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/runtime.stamp ## Print schema/schema.graphql from the code
	$(BIN)/python -m subgraph.api.schema > schema/schema.graphql

share: ## Copy the guest library's Python modules into the skills that carry them
	@$(PYTHON) toolchain/share.py

build: toolchain/node_modules/.package-lock.json $(VENV)/runtime.stamp ## Build GraphiQL and the skills
	@node web/graphiql/build.mjs
	@$(BIN)/cyberos-skill-cli build --quiet --no-aot $(SKILLS)

digests: $(VENV)/development.stamp build ## Record the digests of the skills' components
	$(BIN)/python -m tests.support.digests

lock: $(VENV)/development.stamp ## Pin the newest dependencies that pyproject.toml admits
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-header --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-header --output-file requirements-dev.lock

clean: ## Remove everything that was built or installed here
	rm -rf $(VENV) build subgraph/api/static skills/*/*/dist
	find . -name node_modules -type d -prune -exec rm -rf {} +

toolchain/node_modules/.package-lock.json: toolchain/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
	  || { echo "Node.js 20 or newer is needed: it builds GraphiQL and the skills"; exit 1; }
	npm ci --prefix toolchain --ignore-scripts --no-audit --no-fund
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The checkout is used in place: a line in the environment names it.
$(VENV)/runtime.stamp: requirements.lock | $(VENV)/bin/python
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/python -c 'import pathlib, site; pathlib.Path(site.getsitepackages()[0], "subgraph.pth").write_text("$(CURDIR)\n")'
	@printf '#!%s\nfrom subgraph.cli.app import main\n\nmain()\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/cyberos-skill-cli
	@printf '#!%s\nfrom subgraph.cli.cuo import main\n\nmain()\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/cyberos-cuo
	@chmod +x $(BIN)/cyberos-skill-cli $(BIN)/cyberos-cuo
	@touch $@

$(VENV)/development.stamp: requirements-dev.lock $(VENV)/runtime.stamp
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@
