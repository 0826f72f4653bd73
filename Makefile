# `make help` lists what there is. The environment lives in .venv and is made once: its stamp is named after a hash of
# everything that defines it, so that a changed pin installs again and an unchanged one takes no time.
ifneq ($(words $(CURDIR)),1)
$(error "$(CURDIR)" holds a space, and Snakemake cannot run a Python whose path does: move this folder to another path)
endif

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake
JOBS ?= 3

# Python 3.11 or 3.12; override with `make PYTHON=/path/to/python`.
is_supported = import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c '$(is_supported)' 2>/dev/null && echo $$p && break; done)
# `cuda` where an NVIDIA driver answers, else `cpu`; override with `make ENV=cpu`.
ENV ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)

hash = $(firstword $(shell cat $(1) | sha256sum | cut -c1-16))
ENV_FILES := envs/core.txt envs/$(ENV).txt envs/lock.txt envs/torch_cluster.sh
ENV_STAMP := $(VENV)/.made-$(ENV)-$(call hash,$(ENV_FILES))
DEV_STAMP := $(ENV_STAMP)-dev-$(call hash,envs/dev.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Files of tests in processes side by side, each with one thread.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 8 --dist loadfile

# Scripts that call `python` or `snakemake` find those of the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help run env dev check test lint docs format lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(ENV_STAMP)  ## Make everything: results/<variant>/ and results/report/report.html
	$(SNAKEMAKE) -j $(JOBS) all

env: $(ENV_STAMP)  ## Make the environment only (.venv)

dev: $(DEV_STAMP)  ## The environment with what tests and lint need

check: lint  ## Lint, and the tests that are quick, side by side: less than two minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --durations=5 $(SIDE_BY_SIDE)

test: $(DEV_STAMP)  ## Run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE)

lint: $(DEV_STAMP)  ## Check style, formatting, types, imports and the workflow
	$(BIN)/ruff check scripts tests
	$(BIN)/ruff format --check scripts tests
	$(BIN)/snakefmt --check Snakefile workflow rules
	$(BIN)/mypy
	PYTHONPATH=scripts $(BIN)/lint-imports
	$(SNAKEMAKE) --lint

docs: $(DEV_STAMP)  ## Build the documentation as a site (site/index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: $(DEV_STAMP)  ## Bring code and rules into their format, and write config/schema.json
	$(BIN)/ruff check --fix scripts tests
	$(BIN)/ruff format scripts tests
	$(BIN)/snakefmt Snakefile workflow rules
	PYTHONPATH=scripts $(BIN)/python -m assay.workflow.config_schema config/schema.json

lock: $(DEV_STAMP)  ## Write down every package of the environment (envs/lock.txt)
	{ head -n 1 envs/lock.txt && $(BIN)/python -m pip freeze | grep -vi '^torch'; } >envs/lock.new
	mv envs/lock.new envs/lock.txt

clean:  ## Remove results, logs and benchmarks; .venv stays
	rm -rf results logs benchmarks .snakemake

$(ENV_STAMP):
	@test -n "$(PYTHON)" || { echo "Assay needs Python 3.11 or 3.12: install one, or name it with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c '$(is_supported)' || { echo "$(PYTHON) is not Python 3.11 or 3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of envs/$(ENV).txt into $(VENV) (a few minutes, once) ..."
	@$(PIP) install -r envs/$(ENV).txt
	@envs/torch_cluster.sh $(BIN)/python
	@rm -f $(VENV)/.made-*
	@touch $@

$(DEV_STAMP): $(ENV_STAMP)
	@$(PIP) install -r envs/dev.txt
	@touch $@
