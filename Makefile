# Each line only calls tools/start.py, which works on every system: python tools/start.py lab
# More words for pytest: make test ARGS="tests/numeric -k kl"
PYTHON ?= python3
PORT ?= 8888
ARGS ?=

.PHONY: lab check test notebooks store book format lock

lab:        ; $(PYTHON) tools/start.py lab --port $(PORT)
check:      ; $(PYTHON) tools/start.py check $(ARGS)
test:       ; $(PYTHON) tools/start.py test $(ARGS)
notebooks:  ; $(PYTHON) tools/start.py notebooks $(ARGS)
store:      ; $(PYTHON) tools/start.py store $(ARGS)
book:       ; $(PYTHON) tools/start.py book

format:
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

lock:
	uv pip compile --quiet --universal --python-version 3.10 --no-header --annotation-style line requirements.txt --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.10 --no-header --annotation-style line requirements-dev.txt --constraint requirements.lock --output-file requirements-dev.lock
