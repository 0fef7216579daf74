# make demo: the main job from nothing; make test: the tests; make test-slow: those that take long;
# make lint: style, types, imports; make fuzz: 1,000 damaged inputs through all commands;
# make docs: the site, in build/site; make wheel: a wheel for this platform, in dist.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FRAMECAST := $(BIN)/framecast

.PHONY: demo test test-slow lint docs wheel bench fuzz clean

demo: $(VENV)/installed
	rm -rf demo/run demo/evaluation
	$(FRAMECAST) simulate navier_stokes --out demo/data --train 100 --validation 10 --test 20
	$(FRAMECAST) train navier-stokes-min-conv-gru-small --data.path demo/data --out demo/run
	$(FRAMECAST) forecast demo/run demo/data/test.zarr --start 19 --steps 30 --out demo/forecast.nc
	$(FRAMECAST) forecast demo/run demo/data/test.zarr --start 19 --steps 30 --out demo/forecast.gif
	$(FRAMECAST) evaluate demo/run --steps 30 --out demo/evaluation
	@echo "Open demo/evaluation/report.html in a browser, and look at demo/forecast.gif."

test: $(VENV)/ready
	$(BIN)/pytest

test-slow: $(VENV)/ready
	$(BIN)/pytest -m slow

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/ready
	$(BIN)/python docs/assemble.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Where auditwheel runs, the wheel says which other Linux it runs on too.
wheel: $(VENV)/ready
	rm -rf build/lib build/wheel
	$(BIN)/pip wheel . --no-deps --wheel-dir build/wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair build/wheel/*.whl --wheel-dir dist

# Checkouts of published code beside ours: make bench PEERS='--minconvrnns ../minconvrnns'
bench: $(VENV)/ready
	$(BIN)/python -m benchmarks $(PEERS)

# What users need. torch goes in first, so that no other package drags another build of it in.
$(VENV)/installed: pyproject.toml setup.py $(wildcard csrc/*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install torch==2.13.0
	$(BIN)/pip install -e .
	touch $@

# What developers need beside it.
$(VENV)/ready: $(VENV)/installed
	$(BIN)/pip install -e '.[dev]'
	touch $@

fuzz: $(VENV)/ready
	$(BIN)/python tests/fuzz.py

clean:
	rm -rf $(VENV) demo build
