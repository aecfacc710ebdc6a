# The menu of the project: `make` lists it. Every target first sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILT := $(VENV)/.built
LINTERS := $(VENV)/.linters
NATIVE := $(shell find native -type f -not -path 'native/tests/*') CMakeLists.txt pyproject.toml
# The install in place knows every module by its path: one that was added, moved or removed needs a new one.
MODULES := $(sort $(shell find src -name '*.py'))
INSTALLED := $(VENV)/.modules
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test native-test arm-test lint format build bench paper docs clean anew

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(BUILT) ## sync real files over loopback, show what was reused and sent, verify every byte
	@$(BIN)/python tools/demo.py $(ARGS)

test: $(BUILT) ## run the tests; ARGS="-k NAME" for some of them
	@$(BIN)/python -m pytest $(ARGS)

native-test: $(BUILT) ## test every kernel of this CPU without Python
	@$(BIN)/python native/tests/run.py

arm-test: $(BUILT) ## the same for the kernels of ARM64: cross-compiled, under emulation
	@$(BIN)/python native/tests/run.py --arm

lint: $(BUILT) $(LINTERS) ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(LINTERS) ## format the code and fix what can be fixed by machine
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(BUILT) ## compile the native core and install ParaSync in .venv, in place

bench: $(BUILT) ## measure every phase and whole syncs
	@$(BIN)/python -m benchmarks $(ARGS)

paper: $(BUILT) ## repeat the paper's evaluation on this machine; ARGS="--size small" in a few minutes
	@$(BIN)/python -m benchmarks.paper $(ARGS)

docs: ## check that every link in the documentation leads somewhere
	@$(PYTHON) tools/check_links.py

clean: ## remove everything that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

ifneq ($(MODULES),$(sort $(file <$(INSTALLED))))
$(BUILT): anew
endif

# Installed in place: Python sources are used as they are, only changes to these files need a new build.
$(BUILT): $(NATIVE) | $(BIN)/pip
	@echo "building the native core and installing ParaSync in $(VENV) (a minute or two, once)"
	@headers=$$($(BIN)/python tools/python_headers.py) && \
	$(BIN)/pip install --quiet --config-settings="cmake.define.Python_INCLUDE_DIR=$$headers" --editable '.[test]'
	@echo $(MODULES) > $(INSTALLED)
	@touch $@

$(LINTERS): pyproject.toml | $(BIN)/pip
	@$(BIN)/python -c "import tomllib; print(*tomllib.load(open('$<', 'rb'))['project']['optional-dependencies']['lint'])" \
	  | xargs $(BIN)/pip install --quiet
	@touch $@

$(BIN)/pip:
	@missing=""; \
	command -v $(PYTHON) > /dev/null || missing="$$missing python3"; \
	$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || missing="$$missing python3-venv"; \
	command -v "$${CXX:-c++}" > /dev/null || missing="$$missing g++"; \
	if [ -n "$$missing" ]; then \
	  echo "ParaSync needs packages that are not installed; run: apt-get install$$missing" >&2; exit 1; \
	fi; \
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  echo "ParaSync needs Python 3.11 or newer; run: make PYTHON=/path/to/python3 ..." >&2; exit 1; \
	fi
	$(PYTHON) -m venv $(VENV)
