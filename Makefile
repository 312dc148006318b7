# Two commands to know:  make train   make test
# Each makes its environment (.venv) when it is missing or older than the pins.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= fusion.py
WORKERS ?= 2

.PHONY: train test test-extras test-parity test-app lint format clean

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

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)-extras/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-extras
	$(VENV)-extras/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,beam,tfds]'
	touch $@

$(VENV)-parity/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-parity
	$(VENV)-parity/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,parity]'
	touch $@

$(VENV)-app/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-app
	$(VENV)-app/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,app,app-test]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-extras $(VENV)-parity $(VENV)-app build dist *.egg-info
