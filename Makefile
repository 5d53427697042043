# make demo        set up if needed, do the main job, leave a report to look at
# make test        set up if needed, then every check
# make setup       the set-up alone; TORCH_INDEX=… takes torch from another index
# make lab         JupyterLab at the first notebook
# make test-browser  every notebook in a real JupyterLab in Chromium, with its widgets; screenshots in
#                  runs/browser. BROWSER_NOTEBOOKS="00 03" runs those alone
# make format      let ruff put the code in order
# make notebooks   run the notebooks in the laptop profile and store their outputs
# make bench       compare with other libraries: hours; tables and plots in benchmarks/results
# make site        the course as pages to read: site/_build/html/index.html; site-check checks them
# make slides      slides from notebooks 02, 05 and 08: site/_build/html/slides
# make wheel       the package with the course in it: dist/
# make pictures    draw the README's pictures anew, from the weights that ship
# make constraints freeze a fresh install of the newest versions into constraints.txt
# make clean       remove the set-up, the runs and the caches

PYTHON ?= python3
VENV := .venv
CONSTRAINTS ?= constraints.txt
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

.PHONY: demo test test-browser setup lab lint unit slow nbval format notebooks bench constraints clean site slides site-check wheel pictures

demo: setup
	t2i demo

test: setup lint unit slow nbval

setup: $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 't2i-course needs Python 3.11 or newer: make PYTHON=python3.11 …')"
	$(PYTHON) -m venv $(VENV)
ifdef TORCH_INDEX
	$(BIN)/python -m pip install -c $(CONSTRAINTS) --index-url $(TORCH_INDEX) torch torchvision
endif
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e ".[test]"
	$(BIN)/python -c "open('$(READY)', 'w').close()"

lab: setup
	jupyter lab notebooks/00_start_here.ipynb

lint:
	ruff format --check .
	ruff check .
	mypy
	lint-imports

# A process a core, each with one thread: they then do not wait for one another.
PYTEST := OMP_NUM_THREADS=1 pytest -n logical --maxprocesses 4

unit:
	$(PYTEST) -m "not slow" tests

# Other processes that are killed, whole commands, trainings that must learn something.
slow:
	$(PYTEST) -m slow tests

# The notebooks in the smoke profile: every cell runs, and what cells tagged nbval-check-output
# print is what they printed in the laptop profile.
nbval:
	T2I_RUNS="$$(mktemp -d)" T2I_PROFILE=smoke pytest --nbval-lax --nbval-current-env $(NOTEBOOKS)

BROWSER_NOTEBOOKS ?=

test-browser: setup
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) -e ".[test,browser]"
	T2I_BROWSER_NOTEBOOKS="$(BROWSER_NOTEBOOKS)" pytest -m browser tests/browser

format: setup
	ruff format .
	ruff check --fix .

notebooks: setup
	python notebooks/execute.py $(NOTEBOOKS)

BENCHMARKS := cvae_speed cvae_fashion diffusion_speed diffusion_quality sampling effects \
	photos_speed priors two_processes first_picture grading

bench: setup
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e ".[test,browser,bench]"
	for name in $(BENCHMARKS); do python benchmarks/$$name.py || exit 1; done

# The site has a set-up of its own: it reads stored outputs, and needs no torch.
SITE := $(VENV)-site
ifeq ($(OS),Windows_NT)
SITE_PYTHON := $(SITE)/Scripts/python
else
SITE_PYTHON := $(SITE)/bin/python
endif

$(SITE)/ready: site/requirements.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE_PYTHON) -m pip install -q -r site/requirements.txt
	$(SITE_PYTHON) -c "open('$(SITE)/ready', 'w').close()"

site: $(SITE)/ready slides
	$(SITE_PYTHON) site/pages.py
	$(SITE_PYTHON) -m sphinx -q -W --keep-going -b html -c site -d site/_build/doctrees site/_build/source site/_build/html

slides: $(SITE)/ready
	$(SITE_PYTHON) site/slides.py

site-check: site
	$(SITE_PYTHON) site/check.py
	$(SITE_PYTHON) site/browser.py --out runs/site

wheel: setup
	$(BIN)/python -c "import shutil; shutil.rmtree('build', ignore_errors=True)"
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

pictures: setup
	python assets/draw.py

constraints:
	$(PYTHON) -m venv --clear $(VENV)-constraints
	$(VENV)-constraints/bin/python -m pip install -e ".[test,browser,bench,teach,sentence]"
	$(VENV)-constraints/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) $(VENV)-site site/_build build dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
