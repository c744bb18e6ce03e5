# Everything a developer or a first-time user needs: `make run`, `make test`; `make help` lists the rest.
# Needs CPython 3.11 to 3.13 with venv, a C compiler and make; works in .venv, .venv-peers and build/ only.
# PYTHON=... chooses the interpreter for a new .venv, ARGS=... is added to run and demo.

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
SOURCES := $(wildcard polybot/_fast/*.pyx polybot/_fast/*.pxd) setup.py
ARGS ?=
PYTEST_WORKERS ?= 2

# The first of these that runs and is a supported CPython.
PROBE := import sys, venv; print(sys.executable) if sys.implementation.name == "cpython" \
	and (3, 11) <= sys.version_info[:2] < (3, 14) else sys.exit(1)
CANDIDATES := python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python) \
	python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python) \
	python3.11 $(wildcard $(HOME)/.pyenv/versions/3.11.*/bin/python) python3 python
PYTHON ?= $(shell for c in $(CANDIDATES); do p=$$("$$c" -c '$(PROBE)' 2>/dev/null) && echo "$$p" && break; done)

.PHONY: help run demo test lint types bench peers build extras settings lock clean bench-readme
.DELETE_ON_ERROR:

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 22

run: build  ## trade on the embedded venue (no account, key or network needed)
	@$(PY) -m polybot +interval=5m risk=conservative dashboard.enabled=true $(ARGS)

demo: build  ## two fast windows against slow makers: orders, fills and a settlement within a minute
	@echo "demo: the embedded venue's makers are seconds late ON PURPOSE, 20 times real speed; its profits are not real"
	@$(PY) -m polybot +interval=5m risk=standard venue.makers=slow venue.speed=20 venue.seed=4 run.markets=2 $(ARGS)

test: build $(STAMPS)/dev lint types  ## lint, types, layer and source checks, all tests
	@$(PY) -m pytest -q -n $(PYTEST_WORKERS) --dist loadfile -m "not alone" $(ARGS)
	@$(PY) -m pytest -q -m alone --durations=5 $(ARGS)

lint: $(STAMPS)/dev  ## ruff, cython-lint, codespell
	@$(VENV)/bin/ruff check polybot tests bench setup.py
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/cython-lint polybot/_fast
	@$(VENV)/bin/codespell polybot tests bench conf docs Makefile *.py *.toml *.md

types: $(STAMPS)/dev  ## mypy --strict
	@$(PY) -m mypy

bench: build $(STAMPS)/dev  ## budgets beside measurements; fails when one is exceeded
	@$(PY) -m pytest bench/ --benchmark-only -q $(ARGS)

peers: $(STAMPS)/venv  ## the libraries that the benches compare with, each in an environment of its own
	@$(PY) -m bench.install_peers

bench-readme: build $(STAMPS)/dev  ## run the benches and write bench/README.md anew
	@$(PY) -m bench.readme $(ARGS)

build: $(STAMPS)/built  ## make .venv, install hash-pinned dependencies, compile what changed

extras: build $(STAMPS)/dev  ## libraries of pages, stepper, notebooks, sweeps, keystores and wallet transactions, pinned too

settings: build  ## write docs/SETTINGS.md anew from conf/
	@$(PY) docs/settings.py

lock:  ## write requirements*.lock anew from pyproject.toml, and the peers' lists (needs uv)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; for kind in "requirements.lock:--extra build" "requirements-dev.lock:--extra build --extra dev --extra bench"; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
			--no-emit-index-url --no-emit-find-links $${kind#*:} pyproject.toml -o "$${kind%%:*}"; \
	done
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; for peer in bench/peers/*/requirements.in; do \
		case $$peer in */nautilus/*) least=3.12 ;; *) least=3.11 ;; esac; \
		uv pip compile --quiet --universal --python-version $$least --generate-hashes --no-header --no-annotate \
			--no-emit-index-url --no-emit-find-links "$$peer" -o "$${peer%.in}.txt"; \
	done

clean:  ## remove .venv, .venv-peers, build output and caches (not logs/)
	@rm -rf $(VENV) .venv-peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	@rm -f polybot/_fast/*.c polybot/_fast/*.so
	@find polybot tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# -- stamps ---------------------------------------------------------------------------------------

$(STAMPS)/venv:
	@if [ -z "$(PYTHON)" ]; then echo "polybot: error: needs CPython 3.11, 3.12 or 3.13 (none found; try: make PYTHON=/path/to/python3.12)" >&2; exit 2; fi
	@"$(PYTHON)" -c '$(PROBE)' >/dev/null 2>&1 || { echo "polybot: error: $(PYTHON) is no CPython 3.11 to 3.13 with venv (Debian: apt-get install python3-venv)" >&2; exit 2; }
	@[ -x $(PY) ] || { echo "making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv $(VENV); }
	@mkdir -p $(STAMPS) && touch $@

INSTALL = if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(PY) --require-hashes -r $(1); \
	else $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1); fi

$(STAMPS)/runtime: requirements.lock $(STAMPS)/venv
	@echo "installing $<"
	@$(call INSTALL,$<)
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/venv
	@echo "installing $<"
	@$(call INSTALL,$<)
	@touch $@

# A changed .pyx or .pxd always rebuilds: a stale extension would run silently.
$(STAMPS)/built: $(SOURCES) $(STAMPS)/runtime
	@echo "compiling the core (the first time it takes a few minutes)"
	@$(PY) setup.py --quiet build_ext --inplace --parallel 2
	@touch $@
