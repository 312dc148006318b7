# Two commands to know:  make train   make test
# Each makes its environment (.venv) when it is missing or older than the pins.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= fusion.py
WORKERS ?= 2
RUN ?=
SIZE ?= small
INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: train test test-slow test-extras test-parity test-app test-docs fuzz bench docs lint format clean

train: $(VENV)/.core
	$(BIN)/python scripts/train.py --config $(CONFIG)

# Each test is in one of these targets, by its marker (tests/support/suite_rules.py); .ci/run has them all. What JAX
# compiles is kept below build/, for the processes that the tests start, for the other targets and for the next time.
PYTEST := -m pytest --durations=15
# Warnings are errors in the core, but not where others' packages give them.
PYTEST_ALL := $(PYTEST) -W default
ALL_BIN := $(VENV)-all/bin

# What has no marker: the core, without any optional package.
test: $(VENV)/.test
	$(BIN)/python $(PYTEST) -n $(WORKERS) -m "not (slow or extras or tensorflow or parity or browser or docs or manual)"

# Trainings in processes of their own, eight devices, benchmarks.
test-slow: $(VENV)/.test
	$(BIN)/python $(PYTEST) -n $(WORKERS) -m slow

# What wants optional packages: an environment with all of them, 4 GB. TensorFlow and PyTorch do not meet in one process.
test-extras: $(VENV)-all/.done
	REQUIRE_ALL=1 $(ALL_BIN)/python $(PYTEST_ALL) -m extras
	REQUIRE_ALL=1 $(ALL_BIN)/python $(PYTEST_ALL) -m tensorflow

# Every backbone beside Keras's and timm's.
test-parity: $(VENV)-all/.done
	REQUIRE_ALL=1 $(ALL_BIN)/python $(PYTEST_ALL) --timeout 1500 -m parity

# The page in the browser, driven in a headless Chromium of the system.
test-app: $(VENV)-all/.done
	REQUIRE_ALL=1 $(ALL_BIN)/python $(PYTEST_ALL) -m browser

# Damaged files of every kind that the package reads, SECONDS of each; the first that is neither read nor refused with a
# sentence ends it and is kept in build/fuzz.
SECONDS := 20
SEED := 1
fuzz: $(VENV)-all/.done
	PYTHONPATH=tests/support $(ALL_BIN)/python tests/fuzz/run.py $(SECONDS) $(SEED)

# Every command of README and docs, as a reader types them, on small data.
test-docs: $(VENV)-all/.done
	REQUIRE_ALL=1 $(ALL_BIN)/python $(PYTEST_ALL) --timeout 1500 -m docs

# Every benchmark with its peers, one after another, and benchmarks/RESULTS.md from the lines they print; an environment of
# its own, 3 GB (SIZE=full: another, with CUDA, for a GPU). RUN=FOLDER is a trained run for predict and bulk, which is left
# out without it; MEDIA=FOLDER and WEIGHTS=FILE are for detectors. What peers do on a CPU, ours does there too, whatever
# the machine has.
BENCH := input recurrent train_step predict prepare detectors scale large $(if $(RUN),bulk)
ARGS_train_step = --size $(SIZE)
ARGS_predict = $(RUN)
ARGS_detectors = $(MEDIA:%=--media %) $(WEIGHTS:%=--weights %)
BENCH_VENV := $(VENV)-bench$(if $(filter full,$(SIZE)),-gpu)
ON_CPU := predict prepare detectors bulk
ARGS_scale = --plot docs/images/scale.svg
ARGS_large = $(if $(filter full,$(SIZE)),,--videos 90000 --rows 10000)
ARGS_bulk = --run $(RUN) $(if $(filter full,$(SIZE)),,--clips 300)

bench: $(BENCH_VENV)/.done
	rm -rf build/bench
	$(MAKE) -j1 $(BENCH:%=build/bench/%.json)
	$(BENCH_VENV)/bin/python benchmarks/results.py build/bench > build/bench/RESULTS.md
	mv build/bench/RESULTS.md benchmarks/RESULTS.md

build/bench/%.json:
	mkdir -p build/bench
	$(if $(filter $*,$(ON_CPU)),JAX_PLATFORMS=cpu )$(BENCH_VENV)/bin/python benchmarks/$*.py $(ARGS_$*) > build/bench/$*.line
	mv build/bench/$*.line $@

docs: $(VENV)-all/.done
	$(ALL_BIN)/python -m sphinx -E -b html docs build/docs

# Of ruff alone, so that a mistake is said before anything else is installed.
RUFF := $(VENV)-ruff/bin/ruff

lint: $(VENV)-ruff/.done
	$(RUFF) check .
	$(RUFF) format --check .

format: $(VENV)-ruff/.done
	$(RUFF) check --fix .
	$(RUFF) format .

$(VENV)-ruff/.done: constraints.txt
	$(PYTHON) -m venv $(VENV)-ruff
	$(VENV)-ruff/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ruff
	touch $@

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/python $(INSTALL) '.[test]'
	touch $@

EXTRAS_all := test,app,app-test,beam,bench,c2pa,docs,parity,parquet,tfds
EXTRAS_bench := bench
EXTRAS_bench-gpu := bench,cuda12

$(VENV)-%/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python $(INSTALL) '.[$(EXTRAS_$*)]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-ruff $(VENV)-all $(VENV)-bench $(VENV)-bench-gpu build dist *.egg-info
