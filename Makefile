# Everything a person or CI does here. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
# At a time. Where tests wait as often as they compute there is one more.
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: bench-data bench-elastic bench-objectives help setup run soak test test-images test-unit test-integration test-cluster check format generate lock images clean
.PHONY: cluster-programs cluster-up cluster-down cluster-env
CLUSTER := PYTHONPATH=tests $(BIN)/python -m support.cluster
# Of the development cluster that `make cluster-up` starts.
NODES ?= 2

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup:  ## make .venv with everything that requirements.lock pins
	@$(PYTHON) scripts/setup.py

run: setup  ## pre-train a small model on this machine's own text (examples/quickstart.yaml)
	@$(BIN)/pretrain run examples/quickstart.yaml

test:  ## set everything up and run all tests, fast ones first
	@$(PYTHON) scripts/setup.py --with-test-tools
	@$(MAKE) --no-print-directory cluster-programs
	@$(MAKE) --no-print-directory -j2 test-images test-unit
	@$(MAKE) --no-print-directory test-integration test-cluster

# Mostly waits for downloads and the disk, so the fast tests run beside it.
test-images: setup
	@PYTHONPATH=tests $(BIN)/python -m support.images --if-possible

test-unit: setup  ## the fast tests: under a minute
	$(BIN)/python -m pytest tests/unit -n $(TEST_PROCESSES) -q

test-integration: setup  ## tests with real processes, files and browsers
	$(BIN)/python -m pytest tests/integration -n $$(($(TEST_PROCESSES) + 1)) -q --dist loadfile --no-loadscope-reorder

test-cluster: setup  ## tests on a cluster with containers (as root), or on the one that KUBECONFIG names
	$(BIN)/python -m pytest tests/cluster tests/chaos -n $(if $(KUBECONFIG),0,$(TEST_PROCESSES)) -q --dist loadfile --no-loadscope-reorder

soak: setup  ## chaos on a cluster of its own (as root) for an hour; SECONDS=7200 for two, PRETRAIN_TEST_SEED=7 to play one again
	PRETRAIN_CHAOS_SECONDS=$(or $(SECONDS),3600) $(BIN)/python -m pytest tests/chaos -s -q -p no:cacheprovider

cluster-programs: setup  ## get the programs that a cluster needs and this machine lacks
	@$(CLUSTER) programs

cluster-up:  ## start the development cluster with the operator (as root); NODES=3 for more nodes, BARE=1 without operator
	@$(PYTHON) scripts/setup.py --with-test-tools
	@$(CLUSTER) up --nodes $(NODES) $(if $(BARE),--bare)

cluster-down: setup  ## remove the development cluster
	@$(CLUSTER) down

cluster-env:  ## print the lines that point a shell at it, for eval
	@$(CLUSTER) env

check: setup  ## format, lint, types, imports, spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: setup  ## format and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

generate: setup  ## write the CRD and the reference pages from the types
	$(BIN)/python scripts/generate.py

LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --no-header
lock: setup  ## compile the lock files from pyproject.toml; add UPGRADE=1 for newer versions
	$(LOCK) pyproject.toml --all-extras $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	$(LOCK) --group pyproject.toml:operator-image --constraints requirements.lock --upgrade --output-file requirements-operator.lock
	$(LOCK) pyproject.toml --extra trainer --no-emit-package kubernetes --constraints requirements.lock --upgrade --output-file requirements-trainer.lock

images: setup  ## build the images of operator and trainer with buildah (root, Debian; minutes at first, then seconds)
	@$(PYTHON) scripts/setup.py --with-test-tools
	@PYTHONPATH=tests $(BIN)/python -m support.images

bench-data: setup  ## our shard reader against webdataset, MosaicML Streaming, memory maps and before an S3 server (minutes)
	@$(BIN)/python benchmarks/data/run.py
	@$(BIN)/python benchmarks/data/parts.py
	@$(BIN)/python benchmarks/data/indexing.py
	@$(BIN)/python benchmarks/data/images.py
	@$(MAKE) --no-print-directory cluster-programs
	@$(BIN)/python benchmarks/data/store.py

bench-elastic: setup  ## kills against stock torchrun, kills of pods, what a checkpoint costs (as root; two hours, most of which torchrun waits)
	@$(BIN)/python benchmarks/elastic/recover.py
	@$(BIN)/python benchmarks/elastic/checkpoint.py
	@$(BIN)/python benchmarks/elastic/goodput.py
	@$(MAKE) --no-print-directory cluster-programs
	@$(BIN)/python benchmarks/elastic/agents.py
	@PYTHONPATH=tests $(BIN)/python -m support.images --if-possible
	@$(BIN)/python benchmarks/elastic/pods.py

bench-objectives: setup  ## steps of the objectives of images against the libraries that people take for them (minutes)
	@$(BIN)/python benchmarks/objectives/mae.py
	@$(BIN)/python benchmarks/objectives/dino.py

clean:  ## remove what the commands above made, the environment included
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
