# Two commands from nothing, with python3 (its venv module) and make: `make demo` and `make test`.
# Everything that is made lies under .build and the caches named in `clean`.

PYTHON ?= python3
MTA_STS_ENV_DIR ?= $(CURDIR)/.build/env
UV_CACHE_DIR ?= $(CURDIR)/.build/cache/uv
export MTA_STS_ENV_DIR UV_CACHE_DIR
DEV := $(MTA_STS_ENV_DIR)/dev/bin
SAM := $(MTA_STS_ENV_DIR)/sam/bin
UV := $(MTA_STS_ENV_DIR)/bootstrap/bin/uv

# How many tests run side by side; each process has a lab of its own (about 1 GB).
JOBS ?= 3
# For the demo.
METHOD ?= none-policy
FAULT ?=
PUBLISH_NONE ?=
# For run.
EVENT ?= events/none-policy.json
# For remove: yes removes the stack although something is due.
FORCE ?=
# Passed on to pytest, as in: make test ARGS="-k claim tests/workflow"
ARGS ?=

# Rules of cfn-lint-serverless that do not fit: all functions share one log group, which has a
# retention (WS1004 looks for one each); the execution's history already shows what X-Ray would,
# and the layer leaves the tracer's 46 MB out (WS1000); what a lost e-mail would have said is in the
# ledger and in the execution's output (ES7000 wants a dead-letter queue for it).
NOT_CHECKED := ES2000 WS2002 WS1000 WS1004 ES7000
# The validator of state machine definitions; on npm, because none on PyPI understands JSONata.
ASL_VALIDATOR := asl-validator@4.0.0
NPM := .build/npm

# Nothing that merely looks at the template needs an account, a profile or the network.
OFFLINE := env -u AWS_PROFILE HOME=$(CURDIR)/.build/home SAM_CLI_TELEMETRY=0 \
	AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help env demo life up run test test-senders bench check ruff mypy imports template definitions \
	describe graph mutants deploy remove requirements clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

env: ## Make or renew the environments under .build
	@$(PYTHON) local/environments.py

demo: env ## Turn MTA-STS off for solarmora.com, here (METHOD=delete-record, PUBLISH_NONE=1, FAULT=…)
	@$(DEV)/python -m local demo --method $(METHOD) $(if $(PUBLISH_NONE),--publish-none) \
		$(if $(FAULT),--fault $(FAULT))

life: env ## Show the whole life of a domain, days of it in a minute or two
	@$(DEV)/python -m local life

up: env ## Keep the lab running and print how to reach it, as JSON
	@$(DEV)/python -m local up

run: env ## Run one event in a lab of its own (EVENT=events/none-policy.json)
	@$(DEV)/python -m local run $(EVENT)

test: env ## Run every test that needs no root (JOBS=3, ARGS=… for pytest)
	@$(DEV)/python -m pytest -q -n $(JOBS) --dist loadfile $(ARGS)

test-senders: env ## Let a real sender look at the lab, in a network of its own; needs root
	@$(PYTHON) local/environments.py senders
	@$(DEV)/python -m tests.senders -n $(JOBS) --dist loadfile $(ARGS)

bench: env ## Measure what a run takes: time, memory, size, price (tables, and JSON on standard output)
	@$(DEV)/python -m local bench

check: ruff mypy imports template definitions graph ## Run every linter and checker

ruff: env
	@$(DEV)/ruff check --quiet . && $(DEV)/ruff format --check --quiet . && echo "ruff: fine"

mypy: env
	@$(DEV)/mypy layers local tests
	@# Every handler is called app.py, so each is looked at by itself.
	@for app in functions/*/app.py; do $(DEV)/mypy --no-error-summary $$app || exit 1; done
	@echo "mypy: the functions are fine too"

imports: env
	@COLUMNS=100 PYTHONPATH=layers/mta_sts $(DEV)/lint-imports --no-cache >.build/imports.log 2>&1 \
		|| { cat .build/imports.log; exit 1; }
	@echo "import-linter: fine"

template: env
	@mkdir -p .build/home
	@$(OFFLINE) $(SAM)/sam validate --lint --template template.yaml >.build/template.log 2>&1 \
		|| { cat .build/template.log; exit 1; }
	@$(OFFLINE) $(SAM)/cfn-lint --append-rules cfn_lint_serverless.rules \
		--ignore-checks $(NOT_CHECKED) --template template.yaml
	@$(OFFLINE) $(SAM)/cfn-lint --template docs/policy-host.yaml
	@echo "sam validate, cfn-lint: fine"

definitions: $(NPM)/made-from-$(ASL_VALIDATOR)
	@for definition in statemachine/*.asl.json; do \
		node $(NPM)/node_modules/asl-validator/dist/bin/asl-validator.js --json-path $$definition \
		>.build/definitions.log 2>&1 || { cat .build/definitions.log; exit 1; }; done
	@echo "asl-validator: fine"

$(NPM)/made-from-$(ASL_VALIDATOR):
	@command -v node >/dev/null && command -v npm >/dev/null \
		|| { echo "make check needs node and npm (Debian: apt-get install nodejs npm)" >&2; exit 1; }
	@rm -rf $(NPM) && mkdir -p $(NPM)
	@npm install --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
		--cache .build/cache/npm --prefix $(NPM) $(ASL_VALIDATOR)
	@touch $@

describe: env ## Make docs/openapi.json and docs/input.schema.json anew
	@$(DEV)/python -m local.describe

graph: env
	@$(DEV)/python -m pytest -q tests/unit/test_state_machine.py

mutants: env ## Apply each wrong version of the product and demand that its test fails
	@$(DEV)/python -m tests.mutants $(ARGS)

# Answers go to a file that is not committed; the layer is pure Python, so that it may be built by
# another Python than the one it will run on.
deploy: env ## Build and deploy to AWS, guided, with termination protection
	@test -e samconfig.local.toml || cp samconfig.toml samconfig.local.toml
	@export PATH="$(SAM):$(MTA_STS_ENV_DIR)/bootstrap/bin:$$PATH" SAM_CLI_TELEMETRY=0; \
	runtime=$$($(DEV)/python -c 'from local.deploy import runtime; print(runtime())'); \
	sam build --parameter-overrides "LambdaRuntime=$$runtime" && \
	sam deploy --guided --config-file "$(CURDIR)/samconfig.local.toml"
	@$(DEV)/python -m local.protect samconfig.local.toml

remove: env ## Remove the deployed stack; refused while anything is due, unless FORCE=yes
	@test -e samconfig.local.toml || { echo "There is no samconfig.local.toml, in which make deploy" \
		"writes which stack it is" >&2; exit 1; }
	@$(DEV)/python -m local.remove samconfig.local.toml "$(FORCE)"

requirements: env ## Compile the pinned requirement files anew
	@for name in bootstrap emulator sam cli senders; do $(MAKE) compile-$$name || exit 1; done
	@$(MAKE) compile-layer OUT=layers/mta_sts/requirements.txt
	@$(MAKE) compile-dev

compile-%: OUT = requirements/$*.txt
compile-%:
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" \
		requirements/$*.in --output-file $(OUT)

clean: ## Remove what make made
	rm -rf .build .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find functions layers local tests -name __pycache__ -prune -exec rm -rf {} +
