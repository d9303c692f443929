# Everything a contributor or user runs. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DISTRIBUTIONS := packages/neurograph-python packages/vectron-client packages/vectrograph
KERNEL := packages/vectrograph/hatch_build.py $(wildcard packages/vectrograph/kernel/*.[ch])
MANIFESTS := tools/setup.py $(wildcard requirements/*) pyproject.toml $(addsuffix /pyproject.toml,$(DISTRIBUTIONS)) $(KERNEL)
export UV_PYTHON_DOWNLOADS := never
# Container images like to set it. Without bytecode on disk every process compiles all packages anew: 4 s more a start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-postgres torture conformance-clients idle kernel-check lint fix audit fuzz bench bench-attack bench-client bench-engine bench-live bench-load bench-server generate lock clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

setup: $(VENV)/.dev  ## build .venv from the hashed locks, all tools included (quick when nothing changed)

$(VENV)/.run: $(MANIFESTS)
	@$(PYTHON) tools/setup.py run
	@touch $@

$(VENV)/.dev: $(MANIFESTS)
	@$(PYTHON) tools/setup.py dev
	@touch $(VENV)/.run $@

demo: $(VENV)/.run  ## index Python's own documentation and ask it questions (KEEP=1 leaves the server up)
	@$(BIN)/python tools/demo $(if $(KEEP),--keep)

test: lint  ## every check and every test but those of test-postgres
	$(BIN)/python -m pytest -n 6 --dist worksteal -m "not postgres"

test-postgres: setup  ## the engine's contract on PostgreSQL with pgvector, and a server on it (minutes; ARGS="-k WORDS")
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m postgres packages/vectrograph tests/conformance $(ARGS)

FAST := packages/wirekit $(addprefix packages/vectrograph/tests/,domain services rest engines/contract/test_embedded_engine.py)

test-fast: setup  ## rules, services, REST and the engine's contract without slow tests, for work in progress (ARGS="-k WORDS")
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" $(FAST) $(ARGS)

torture: setup  ## let processes die, the power go and files rot, and look at what is left (minutes; ARGS="--seed N")
	PYTHONPATH=packages/vectrograph/tests $(BIN)/python -m torture $(ARGS)

conformance-clients: setup  ## official-style clients in Go and JavaScript against this server (fetches their libraries)
	CONFORMANCE_CLIENTS=1 $(BIN)/python -m pytest tests/conformance/test_official_style_clients.py

idle: setup  ## an hour of silence on the Vectron client's connections (the suite has it in twelve seconds)
	VECTRON_IDLE_SECONDS=3600 $(BIN)/python -m pytest packages/vectron-client/tests/scripted/test_vectron_idle.py

lint: setup  ## ruff, formatting, types, layers, freshness of generated files
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy packages/neurograph-python/examples/*.py
	$(BIN)/mypy packages/vectron-client/examples/*.py
	$(BIN)/mypy --python-version 3.10 packages/wirekit/src packages/neurograph-python/src packages/vectron-client/src
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/plain_english.py
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/audit.py --unless-unreachable

kernel-check: setup  ## the index kernel with sanitizers, fuzzed, on emulated processors, for every platform (needs clang, SIMDe, qemu)
	$(BIN)/python tools/kernel_check.py $(ARGS)

audit: setup  ## ask the database of known vulnerabilities about every locked dependency (ARGS="--export FILE" without a network)
	$(BIN)/python tools/audit.py $(ARGS)

fuzz: setup  ## hostile input for a long time (FUZZ_EXAMPLES=2000 for each test)
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),2000) $(BIN)/python -m pytest -q -s --timeout 7200 tests/security/test_fuzz.py tests/security/test_schemathesis.py

fix: setup  ## repair what ruff can repair, regenerate what is generated
	$(BIN)/python tools/generate.py
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: setup  ## rewrite generated files: synchronous twins, protobuf modules, tables of settings and of access
	$(BIN)/python tools/generate.py

bench: bench-engine bench-client bench-server bench-load bench-live bench-attack  ## every measurement there is

.venv-bench/.ready: $(MANIFESTS)
	@$(PYTHON) tools/setup.py bench --venv .venv-bench
	@touch $@

.venv-bench-client/.ready: $(MANIFESTS)
	@$(PYTHON) tools/setup.py bench-client --venv .venv-bench-client
	@touch $@

bench-engine: .venv-bench/.ready  ## this engine beside its embedded peers (hours; ARGS=--quick for a look)
	.venv-bench/bin/python -m benchmarks.engine $(ARGS)

bench-server: .venv-bench/.ready  ## this server beside the Chroma server and bare handlers (ARGS=--quick for a look)
	.venv-bench/bin/python -m benchmarks.server $(ARGS)

bench-client: .venv-bench-client/.ready  ## the neurograph client beside httpx2, qdrant-client and pymilvus (minutes; ARGS=--quick for a look)
	.venv-bench-client/bin/python -m benchmarks.client $(ARGS)

bench-load: setup  ## four times the load that can be answered: what is answered, what is refused, and how
	$(BIN)/python -m benchmarks.load $(ARGS)

bench-live: setup  ## live events: latency to delivery, events/s, memory, cost of a write (ARGS=--quick for a look)
	$(BIN)/python -m benchmarks.live $(ARGS)

bench-attack: setup  ## every attack on a server of its own, and what another caller notices (minutes; ARGS=--quick for a look)
	$(BIN)/python -m benchmarks.attack $(ARGS)

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
  $(foreach name,$(notdir $(DISTRIBUTIONS)),--no-emit-package $(name))
PROJECTS := $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))

lock: setup  ## resolve the files in requirements/ anew
	$(COMPILE) --upgrade --python-version 3.11 requirements/installer.in -o requirements/installer.txt
	$(COMPILE) --upgrade --python-version 3.11 --extra cli --extra clients $(PROJECTS) -o requirements/run.lock
	$(COMPILE) --upgrade --python-version 3.11 --all-extras --group dev --constraints requirements/run.lock $(PROJECTS) -o requirements/dev.lock
	$(COMPILE) --upgrade --python-version 3.11 --group bench --constraints requirements/run.lock $(PROJECTS) -o requirements/bench.lock
	$(COMPILE) --upgrade --python-version 3.11 --group bench-client --constraints requirements/run.lock $(PROJECTS) -o requirements/bench-client.lock
	$(COMPILE) --upgrade --python-version 3.10 --constraints requirements/dev.lock requirements/build.in -o requirements/build.lock

clean:  ## remove .venv and caches
	rm -rf $(VENV) .venv-bench .venv-bench-client .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
