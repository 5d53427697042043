# make demo        set up if needed, do the main job, leave a report to look at
# make test        set up if needed, then every check
# make setup       the set-up alone; TORCH_INDEX=… takes torch from another index
# make lab         JupyterLab at the first notebook
# make format      let ruff put the code in order
# make notebooks   run the notebooks in the laptop profile and store their outputs
# make bench       compare with other libraries: hours; tables and plots in benchmarks/results
# make constraints freeze a fresh install of the newest versions into constraints.txt
# make clean       remove the set-up, the runs and the caches

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
READY := $(VENV)/ready
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
# Notebooks run in their own folder: a path relative to this one must still hold there.
ifdef T2I_DATA
export T2I_DATA := $(abspath $(T2I_DATA))
endif
export T2I_RUNS := $(abspath $(or $(T2I_RUNS),runs))
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test setup lab lint unit nbval format notebooks bench constraints clean

demo: setup
	t2i demo

test: setup lint unit nbval

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 't2i-course needs Python 3.11 or newer: make PYTHON=python3.11 …')"
	$(PYTHON) -m venv $(VENV)
ifdef TORCH_INDEX
	$(BIN)/python -m pip install -c constraints.txt --index-url $(TORCH_INDEX) torch torchvision
endif
	$(BIN)/python -m pip install -c constraints.txt -e ".[test]"
	$(BIN)/python -c "open('$(READY)', 'w').close()"

lab: setup
	jupyter lab notebooks/00_start_here.ipynb

lint:
	ruff format --check .
	ruff check .
	mypy
	lint-imports

unit:
	pytest tests

# The notebooks in the smoke profile: every cell runs, and what cells tagged nbval-check-output
# print is what they printed in the laptop profile.
nbval:
	T2I_RUNS="$$(mktemp -d)" T2I_PROFILE=smoke pytest --nbval-lax --nbval-current-env $(NOTEBOOKS)

format: setup
	ruff format .
	ruff check --fix .

notebooks: setup
	python notebooks/execute.py $(NOTEBOOKS)

BENCHMARKS := cvae_speed cvae_fashion diffusion_speed diffusion_quality sampling

bench: setup
	$(BIN)/python -m pip install -c constraints.txt -e ".[bench]"
	for name in $(BENCHMARKS); do python benchmarks/$$name.py || exit 1; done

constraints:
	$(PYTHON) -m venv --clear $(VENV)-constraints
	$(VENV)-constraints/bin/python -m pip install -e ".[test,bench,teach]"
	$(VENV)-constraints/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
