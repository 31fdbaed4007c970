# Each line only calls tools/start.py, which works on every system: python tools/start.py lab
PYTHON ?= python3
PORT ?= 8888

.PHONY: lab test notebooks store book format lock

lab:        ; $(PYTHON) tools/start.py lab --port $(PORT)
test:       ; $(PYTHON) tools/start.py test
notebooks:  ; $(PYTHON) tools/start.py notebooks
store:      ; $(PYTHON) tools/start.py store
book:       ; $(PYTHON) tools/start.py book

format:
	.venv/bin/ruff format qkit tests tools benchmarks
	.venv/bin/ruff check --fix qkit tests tools benchmarks

lock:
	uv pip compile --quiet --universal --python-version 3.10 --no-header --annotation-style line requirements.txt --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.10 --no-header --annotation-style line requirements-dev.txt --constraint requirements.lock --output-file requirements-dev.lock
