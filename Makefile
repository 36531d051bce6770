# Thin wrappers over setup_and_run.py, which also works without make. Arguments: make test ARGS="-k crf"
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup check test conformance train gpu

help: ## list the targets
	@sed -n 's/^\([a-z]*\): ## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "%-17s %s\n", $$1, $$2 }'

setup: ## install everything, with the developer's tools
	@$(PYTHON) setup_and_run.py setup

check: ## ruff (rules and format) and mypy
	@$(PYTHON) setup_and_run.py check

test: ## the fast tests; ARGS go to pytest
	@$(PYTHON) setup_and_run.py test $(ARGS)

conformance: ## the common model tests of transformers over all models; ARGS go to pytest
	@$(PYTHON) setup_and_run.py conformance $(ARGS)

train: ## the main job, or another recipe; ARGS go to rnn-zoo train
	@$(PYTHON) setup_and_run.py train $(ARGS)

gpu: ## what is promised of a GPU, where there is one; ARGS go to benchmarks/gpu.py
	@$(PYTHON) benchmarks/gpu.py $(ARGS)
