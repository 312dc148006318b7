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

.PHONY: train test test-extras test-parity test-app test-docs bench docs lint format clean

train: $(VENV)/.core
	$(BIN)/python scripts/train.py --config $(CONFIG)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The tests that want TensorFlow or Apache Beam and are skipped without them; an environment of its own, 2 GB.
test-extras: $(VENV)-extras/.done
	$(VENV)-extras/bin/python -m pytest tests/shards/test_tfds.py tests/shards/test_runners.py

# Every backbone beside Keras's and timm's, full size; an environment of its own, 2 GB.
test-parity: $(VENV)-parity/.done
	$(VENV)-parity/bin/python -m pytest --timeout 1500 tests/parity tests/weights

# The page in the browser, driven in a headless Chromium of the system; an environment of its own, 1.5 GB.
test-app: $(VENV)-app/.done
	$(VENV)-app/bin/python -m pytest tests/serve

# Every command of README and docs, as a reader types them, on small data; an environment of its own, 1.5 GB.
test-docs: $(VENV)-docs/.done
	$(VENV)-docs/bin/python -m pytest --timeout 1500 tests/docs

# Every benchmark with its peers, one after another, and benchmarks/RESULTS.md from the lines they print; an environment of
# its own, 3 GB (SIZE=full: another, with CUDA, for a GPU). RUN=FOLDER is a trained run for predict, MEDIA=FOLDER and
# WEIGHTS=FILE are for detectors. What peers do on a CPU, ours does there too, whatever the machine has.
BENCH := input recurrent train_step predict prepare detectors scale
ARGS_train_step = --size $(SIZE)
ARGS_predict = $(RUN)
ARGS_detectors = $(MEDIA:%=--media %) $(WEIGHTS:%=--weights %)
BENCH_VENV := $(VENV)-bench$(if $(filter full,$(SIZE)),-gpu)
ON_CPU := predict prepare detectors
ARGS_scale = --plot docs/images/scale.svg

bench: $(BENCH_VENV)/.done
	rm -rf build/bench
	$(MAKE) -j1 $(BENCH:%=build/bench/%.json)
	$(BENCH_VENV)/bin/python benchmarks/results.py build/bench > build/bench/RESULTS.md
	mv build/bench/RESULTS.md benchmarks/RESULTS.md

build/bench/%.json:
	mkdir -p build/bench
	$(if $(filter $*,$(ON_CPU)),JAX_PLATFORMS=cpu )$(BENCH_VENV)/bin/python benchmarks/$*.py $(ARGS_$*) > build/bench/$*.line
	mv build/bench/$*.line $@

docs: $(VENV)-docs/.done
	$(VENV)-docs/bin/python -m sphinx -b html docs build/docs

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/python $(INSTALL) '.[test]'
	touch $@

EXTRAS_extras := test,beam,tfds
EXTRAS_parity := test,parity
EXTRAS_app := test,app,app-test
EXTRAS_docs := test,app,docs
EXTRAS_bench := bench
EXTRAS_bench-gpu := bench,cuda12

$(VENV)-%/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python $(INSTALL) '.[$(EXTRAS_$*)]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-extras $(VENV)-parity $(VENV)-app $(VENV)-docs $(VENV)-bench $(VENV)-bench-gpu build dist *.egg-info
