# The commands of this repository; `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help install dev compiled up test test-compiled test-agents check format docs bench reliability soak clean

HELI := .venv/bin/heli
COMPILED_TESTS := tests/proxy tests/rel/test_p1_transparency.py tests/rel/test_p3_own_faults.py tests/rel/test_p6_upstream_zoo.py
export PYTHON

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:  ## make .venv with what heli needs to run, embedded store included
	@scripts/setup

dev:  ## the same, and what tests and checks need
	@scripts/setup --dev

compiled:  ## make .venv-compiled: the same, the gateway's way of a call compiled (wants a C compiler, takes half a minute)
	@scripts/setup --compiled

up: install  ## install, then start heli on this machine
	@$(HELI) up

test: dev  ## run the tests
	.venv/bin/pytest

test-compiled: compiled  ## run the gateway's tests on the compiled gateway
	rm -rf build/tests && mkdir -p build/tests && cp -r tests pyproject.toml build/tests
	cd build/tests && PYTHONPATH=. ../../.venv-compiled/bin/python -P -m pytest -p no:cacheprovider $(COMPILED_TESTS)

test-agents: dev  ## Claude Code and Codex from npm, through heli (installs them, needs npm)
	.venv/bin/pytest -m agents tests/clients/test_agents.py

check: dev  ## format, lint, types, and who may import whom
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports

format: dev  ## put the code into its format, mend what lint can mend
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

docs: dev  ## write what heli says of its commands into docs/commands.md
	.venv/bin/python scripts/write_commands_page.py

bench: dev compiled  ## measure heli and its peers on this machine (about 15 minutes)
	.venv/bin/python bench/run.py

reliability: dev  ## the reliability figures at full length (about an hour)
	HELI_REL_FULL=1 .venv/bin/pytest tests/rel tests/proxy/spool -s --timeout 3600 -k 'not soak'

soak: dev  ## an hour of mixed traffic, watching memory, files and threads
	.venv/bin/python -m tests.rel.soak

clean:  ## remove what the commands above made, but for results
	rm -rf .venv .venv-compiled .uv build dist bench/.peers bench/.build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find heli tests bench -name __pycache__ -prune -exec rm -rf {} +
