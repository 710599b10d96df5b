# CityNerve. `make demo` shows it, `make test` proves it. Nothing but python3 (3.11 or later) and make is needed.
PYTHON ?= python3
CITYNERVE = .venv/bin/citynerve
ARGS ?=

.PHONY: page help setup setup-dev demo up down status test test-faults fuzz check bench bench-soak lock clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: ## make the virtual environment
	@$(PYTHON) deploy/local/bootstrap.py

setup-dev: ## the same, with what tests and checks need
	@$(PYTHON) deploy/local/bootstrap.py --dev

demo: setup ## start everything and replay a real city day; FOR=90s ends it by itself
	@$(CITYNERVE) demo $(if $(FOR),--for $(FOR)) $(ARGS)

up: setup ## start the local stack and leave it running
	@$(CITYNERVE) up $(ARGS)

down: setup ## stop it
	@$(CITYNERVE) down $(ARGS)

status: setup ## show what runs
	@$(CITYNERVE) status $(ARGS)

page: setup ## fetch the servers and build the control center's page
	@.venv/bin/python -m deploy.local

test: setup-dev ## run all tests, the real servers included; ARGS="-k words" picks some
	@.venv/bin/python -m deploy.local --browser
	@.venv/bin/python -m pytest -m "not faults" $(ARGS)

test-faults: setup-dev ## run every fault against the real servers (long); prints the table
	@.venv/bin/python -m deploy.local
	@.venv/bin/python -m pytest tests/faults -m faults $(ARGS)

fuzz: setup-dev ## fuzz every reader of foreign bytes, SECONDS=60 for each (x86-64 only); ARGS="spool frames" picks some
	@.venv/bin/python -m pip install -q --disable-pip-version-check --target .fuzz --upgrade --require-hashes --no-deps \
	    --only-binary=:all: -r tests/fuzz/requirements.lock
	@PYTHONPATH=.:$(CURDIR)/.fuzz .venv/bin/python -m tests.fuzz.run --seconds $(or $(SECONDS),60) $(ARGS)

check: setup-dev ## style, types, and who may import whom
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup-dev ## run the benchmarks: ratios against the textbook way; ONLY=kernels runs one
	@.venv/bin/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench-soak: setup-dev ## hours at a share of full speed: is memory flat? FOR=60m SHARE=0.8
	@.venv/bin/python -m tests.benchmarks.soak $(if $(FOR),--for $(FOR)) $(if $(SHARE),--share $(SHARE)) $(ARGS)

lock: ## renew both lock files from pyproject.toml (maintainers; needs uv): hashes, no addresses
	@printf 'hatchling\neditables\n' > .build-requirements.in
	uv pip compile -q pyproject.toml .build-requirements.in --universal --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate -p 3.11 -o requirements.lock
	uv pip compile -q pyproject.toml .build-requirements.in --extra dev --universal --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate -p 3.11 -c requirements.lock -o requirements-dev.lock
	@rm .build-requirements.in

clean: ## remove the virtual environment and what builds leave behind (data and downloads stay)
	rm -rf .venv build dist control_center/ui/dist control_center/ui/node_modules .mypy_cache .ruff_cache .pytest_cache
