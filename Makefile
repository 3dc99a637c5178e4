# Two commands do everything from a fresh clone:  make run   and   make test
#   make run [PRESET=default|fast|long|arc|reference|smoke] [CORPUS=path] [RUN=name] [ARGS="--set epochs=20 ..."]
#   make explore RUN=name
PY     ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TORCH  ?= 2.13.0
CPU_INDEX ?= https://download.pytorch.org/whl/cpu
PRESET ?= default
export WANDB_MODE ?= offline
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUNBUFFERED = 1
# Threads spin only briefly while they wait, and freed memory stays with the process: see KERNEL_ENVIRONMENT in arc_vae.apps.run
export GOMP_SPINCOUNT ?= 10000
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 1073741824
export MALLOC_TOP_PAD_ ?= 268435456
export OPENBLAS_NUM_THREADS ?= 1
PIP    := $(BIN)/python -m pip install --quiet

.DEFAULT_GOAL := help
.PHONY: help setup run test check explore lint notebooks docs clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## make .venv with every pinned package (about 3 minutes, 1.6 GB)

# torch comes first and alone: a plain `torch` on Linux would bring several GB of CUDA packages to a machine without a GPU.
$(READY): settings.ini setup.py constraints.txt
	@echo "setting up $(VENV) with $$($(PY) --version): about 3 minutes, once"
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PY=/path/to/python3.11"; exit 1; }
	@$(PY) -m venv $(VENV)
	@$(PIP) -c constraints.txt pip setuptools wheel
	@if nvidia-smi >/dev/null 2>&1 || [ "$$(uname -s)" = Darwin ]; then $(PIP) "torch==$(TORCH)"; \
	 else $(PIP) --no-deps "torch==$(TORCH)+cpu" 2>/dev/null || $(PIP) --no-deps --index-url $(CPU_INDEX) "torch==$(TORCH)+cpu"; fi
	@$(PIP) -c constraints.txt --no-build-isolation -e '.[all]'
	@touch $@

run: $(READY) ## corpus, training, evaluation, samples into outputs/RUN; PRESET= CORPUS= RUN= ARGS= pass through
	$(BIN)/arc-vae run --preset "$(PRESET)" $(if $(CORPUS),--corpus "$$CORPUS") $(if $(RUN),--run "$$RUN") $(ARGS)

test: $(READY) ## everything CI runs: clean and exported notebooks, lint, tests
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --timeout 900 --durations 12 tests

check: $(READY) ## what tells most within two minutes: lint, and the tests that start no notebook and no browser
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --timeout 300 $(patsubst %,tests/test_%.py,docs estimator formats report sources space track)

explore: $(READY) ## open JupyterLab on the latent sliders of RUN
	$(BIN)/arc-vae explore --run "$$RUN"

lint: $(READY) ## only the style checks; those of JavaScript where there is npx
	$(BIN)/ruff check .
	@if command -v npx >/dev/null; then npx --yes eslint@10.15.0 arc_vae/static; \
	 else echo "no npx here: the explorer's JavaScript is not checked"; fi

notebooks: $(READY) ## after editing notebooks: execute those whose code changed, export the package, clean them all
	$(BIN)/python tests/notebooks.py

docs: $(VENV)/.docs ## the site: pages, notebooks as they are stored, and the API, into _docs/html
	@rm -rf _docs
	$(BIN)/sphinx-build -q -W --keep-going -d _docs/cache -c docs . _docs/html
	@echo "open _docs/html/index.html"

# Sphinx and its theme are needed for nothing else.
$(VENV)/.docs: $(READY)
	@$(PIP) -c constraints.txt --no-build-isolation -e '.[docs]'
	@touch $@

clean: ## remove the environment (runs in outputs/ stay)
	rm -rf $(VENV)
