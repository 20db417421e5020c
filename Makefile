# Every target sets up .venv by itself; the second time that takes no time.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= $(HOME)/.local/share/costsvc
READY := .venv/.ready

.PHONY: run test faults demo proto lint format bench bench-defer bench-quality bench-router bench-cache bench-prompt-cache bench-cache-size bench-side-by-side lock clean help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "costsvc needs Python 3.11 or later: make PYTHON=python3.x"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# protoc of the oldest protobuf that callers may have; apart, because it needs that protobuf itself.
.venv-proto/.ready: protos/requirements.lock
	$(PYTHON) -m venv .venv-proto
	.venv-proto/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r protos/requirements.lock
	@touch $@

run: $(READY)  ## serve on 127.0.0.1:50051; the simulated provider without ANTHROPIC_API_KEY
	@exec $(BIN)/costsvc serve --data-dir "$(DATA)"

demo: $(READY)  ## send a bundled workload through the service and print what it cost and saved
	@$(BIN)/python -m benchmarks.demo

test: $(READY) .venv-proto/.ready  ## lint, types, and every test
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	$(BIN)/pytest -q

faults: $(READY)  ## kill and freeze everything under load, five times, and hold the books against the bill
	@$(BIN)/pytest -q -s -x tests/faults/long_bill.py

.PHONY: faults-batch
faults-batch: $(READY)  ## kill the service in the middle of batches, and send the largest ones; some 15 minutes
	@$(BIN)/pytest -q -s -x tests/faults/long_batches.py

lint: $(READY) .venv-proto/.ready  ## what test checks, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_protos.py tests/test_architecture.py

format: $(READY)  ## put the code and the protos into form
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .
	$(BIN)/buf format -w protos

proto: $(READY) .venv-proto/.ready  ## generate the stubs from protos/
	$(BIN)/python protos/generate.py

bench-quality: $(READY)  ## what ways of routing cost and get right, on questions of known difficulty
	@$(BIN)/python -m benchmarks.quality

bench: $(READY)  ## measure the service against its targets
	@$(BIN)/python -m benchmarks.bench

bench-defer: $(READY)  ## defer 5,000 calls for two virtual days: what is kept, paid once, and at half price
	@$(BIN)/python -m benchmarks.deferral

# What reads recorded outcomes is large, and needed by this alone.
.venv-router/.ready: benchmarks/router/requirements.lock
	$(PYTHON) -m venv .venv-router
	.venv-router/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r benchmarks/router/requirements.lock
	@touch $@

bench-router: .venv-router/.ready  ## score the local router on recorded outcomes: make bench-router OUTCOMES=file.parquet
	@.venv-router/bin/python -m benchmarks.router "$(OUTCOMES)"

bench-cache: .venv-router/.ready  ## score near-identical questions on labelled pairs: make bench-cache PAIRS=file.parquet
	@.venv-router/bin/python -m benchmarks.near_identical "$(PAIRS)"

bench-prompt-cache: $(READY)  ## compare ways to place cache breakpoints over days of virtual time
	@$(BIN)/python -m benchmarks.prompt_cache

bench-cache-size: $(READY)  ## what a million stored answers take, and how long it takes to find one
	@$(BIN)/python -m benchmarks.cache_size

# Another product, with what it needs: never a part of ours.
.venv-litellm/.ready: benchmarks/side_by_side.txt
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install -q --disable-pip-version-check -r benchmarks/side_by_side.txt
	@touch $@

bench-side-by-side: $(READY) .venv-litellm/.ready  ## what a hit costs here, and in LiteLLM's proxy
	@LITELLM=.venv-litellm/bin/litellm $(BIN)/python -m benchmarks.side_by_side

lock:  ## resolve dependencies anew
	$(BIN)/pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header --extra server --extra router --extra dev -o requirements.lock pyproject.toml
	$(BIN)/pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header -o protos/requirements.lock protos/requirements.in
	$(BIN)/pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header -o benchmarks/router/requirements.lock benchmarks/router/requirements.in

clean:  ## remove what was set up here
	rm -rf .venv .venv-proto .venv-router .venv-litellm
