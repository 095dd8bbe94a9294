# Every target builds its own .venv from pinned versions first; python3 (3.11 or later) and make suffice.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
CODE := raftpb pyraft rafttest examples benchmarks tests setup.py
TRACES ?= tests/traces
JOBS ?= $(shell nproc 2>/dev/null || echo 1)

.PHONY: docs interpreters demo test check coverage replay reference interop leases proto wheel compiled bench soak mutants clean help

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Two sizes of one environment: what the library and its examples run with, and what developers need besides.
$(VENV)/.runs: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pyraft needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing what the library runs with into $(VENV) (once)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.ready: requirements-dev.txt pyproject.toml $(VENV)/.runs
	@echo "installing the pinned tools into $(VENV) (once)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(VENV)/.runs  ## a replicated store that survives losing its leader, told as a story; then the project's traces
	@$(PY) -m examples.raftexample.demo
	@$(PY) -m rafttest replay $(TRACES)

test: $(VENV)/.ready  ## all tests
	@$(PY) -m pytest

check: $(VENV)/.ready  ## lint, format, types and words, in seconds
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(VENV)/bin/mypy
	@$(PY) -m tests.words

coverage: $(VENV)/.ready  ## all tests, with the branches that they leave out
	@$(PY) -m pytest --cov --cov-report=term-missing --cov-fail-under=98

replay: $(VENV)/.runs  ## traces against the core: make replay TRACES=path
	@$(PY) -m rafttest replay $(TRACES)

reference: $(VENV)/.ready  ## the same traces against the Go reference (needs Go)
	@$(PY) -m rafttest compare $(TRACES)

interop: $(VENV)/.ready  ## groups of this library and Go's, 400 of each release (needs Go)
	@$(PY) -m rafttest mixed --runs 400 --jobs $(JOBS)

leases: $(VENV)/.ready  ## search for a broken lease, in minutes
	@$(PY) -m rafttest lease-search --states 40000 --jobs $(JOBS)

proto: $(VENV)/.ready  ## regenerate raftpb/raft_pb2 from raft.proto
	@# An old compiler, for Pythons up to 3.12: what it writes runs with every protobuf from 4.25.1 on; see .ci/protobuf.
	@$(PYTHON) -m venv build/protoc
	@build/protoc/bin/pip install --quiet --disable-pip-version-check grpcio-tools==1.62.3 'setuptools<81'
	@build/protoc/bin/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=$(VENV)/bin/protoc-gen-mypy \
		--python_out=. --mypy_out=quiet:. raftpb/raft.proto

docs: requirements-docs.txt  ## the guides and the API as a site, in build/site
	@test -x build/docs-env/bin/mkdocs || $(PYTHON) -m venv build/docs-env
	@build/docs-env/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@build/docs-env/bin/mkdocs build --quiet --strict && echo "build/site/index.html"

wheel: $(VENV)/.ready  ## build the wheel into dist/, compiled unless PYRAFT_COMPILE=0
	@$(PY) -m build --no-isolation --wheel --outdir dist .

compiled: $(VENV)/.ready  ## the compiled wheel, installed on its own: all tests and traces against it
	@.ci/compiled

interpreters:  ## the suite on the lowest and the newest interpreter that is here, interpreted and compiled
	@.ci/interpreters

bench: $(VENV)/.ready  ## pyraft beside etcd's raft, raft-rs and PySyncObj, in under half an hour; leave the machine alone
	@$(PY) -m benchmarks

soak: $(VENV)/.ready  ## the simulator for 45 minutes on all cores
	@$(PY) -m rafttest sim --minutes 45 --jobs $(JOBS)

mutants: $(VENV)/.ready  ## plant every known bug and see that a test finds it
	@$(PY) -m tests.mutants --jobs $(JOBS)

clean:  ## forget everything that was built
	@rm -rf $(VENV) build dist benchmarks/.build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
