# The project's commands. ARGS=… is handed on to the program; PROVISION=1 first installs, as root on Debian, the engine,
# the SSH server, the registry and gh that the integration tests and the demo use; ENGINE=simulated uses no engine.
# PROCESSES=… says how many tests run side by side: they mostly wait, so that twice as many as processors is no loss;
# a process that dies ends the run, which would otherwise wait for ever for what that one had still to run.

.DEFAULT_GOAL := help
.PHONY: help setup provision demo test check gate oracle fuzz mutate bench lock clean
MAKEFLAGS += --no-print-directory

PROCESSES ?= 4

ifdef ENGINE
export ENGINE
endif
ifdef PYTHON
export PYTHON
endif

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(if $(filter 1,$(PROVISION)),provision) ## Install the locked dependencies and the program into .venv
	@scripts/setup

provision: ## Install what the demo and the integration tests run on (root on Debian)
	@scripts/provision

demo: setup ## Run the main job, from an agent's pull request to a verified deployment and back
	@.venv/bin/reconciler demo $(ARGS)

test: setup ## Run all tests, on the real engine where there is one
	@.venv/bin/pytest -n $(PROCESSES) --max-worker-restart 0 --dist loadscope $(ARGS)

check: setup ## Check style, types and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

gate: setup ## Run every case of the gate by number (BREAK=16 disables one, CASES=DIR runs others)
	@.venv/bin/python -m tests.gate $(if $(BREAK),--break $(BREAK)) $(if $(CASES),--cases $(CASES)) $(ARGS)

oracle: setup ## Compare the gate with its rule on every short history of a pull request (minutes)
	@.venv/bin/python -m tests.oracle $(ARGS)

fuzz: setup ## Give odd inputs to everything that reads from outside (ARGS="--inputs 1000000")
	@.venv/bin/python -m tests.fuzz $(ARGS)

mutate: setup ## Change what decides in every small way, and see that a test notices (ARGS=reconciler/policy)
	@.venv/bin/python -m tests.mutation $(ARGS)

bench: setup ## Measure against what one would use instead
	@.venv/bin/python -m benchmarks $(ARGS)

lock: ## Write requirements.lock anew from pyproject.toml (ARGS=--upgrade moves every pin)
	@scripts/lock $(ARGS)

clean: ## Remove the environment and all caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
