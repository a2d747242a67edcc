# `make` lists the targets. They make what they need in .venv (and .venv-3.12, … for newer Pythons); nothing outside
# this folder is touched, save that `make serve` keeps its index in your cache folder. PYTHON=/path/to/python takes
# that Python; otherwise scripts/find_python.sh chooses.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
unexport PYTHONHOME PYTHONPATH
# Where it is set, as in many containers, each of the hundreds of processes that run here compiles anew what it imports.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PY := $(VENV)/bin/python
NEWER := 3.12 3.13 3.14

# runtime: what the package needs; package: the package itself; dev: what tests and checks need, on top of both.
RUNTIME := $(VENV)/runtime.stamp
PACKAGE := $(VENV)/package.stamp
DEV := $(VENV)/dev.stamp

code := $(wildcard src tests scripts benchmarks examples fuzz)
quoted = '$(subst ','\'',$(1))'
folder := $(if $(FOLDER),$(call quoted,$(FOLDER)))
at := $(if $(AT),--at $(call quoted,$(AT)))

# An environment holds the path of this folder and of its Python. One that was moved here, lost its Python or was made
# with another PYTHON loses its stamps, so that it is made anew.
$(shell for made in $(wildcard .venv .venv-*); do \
	[ $$made = .venv ] && wanted=$(call quoted,$(CURDIR) $(PYTHON)) || wanted=$(call quoted,$(CURDIR)); \
	[ -x $$made/bin/python ] && [ "$$(cat $$made/made-for 2>/dev/null)" = "$$wanted" ] || rm -f $$made/*.stamp; done)

# $(call timed,NAME,COMMAND): runs the command and says how long it took.
timed = start=$$(date +%s); $(2) || { echo "$(1): failed"; exit 1; }; echo "$(1): $$(($$(date +%s) - start)) s"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(PACKAGE) ## index documents, serve them, ask for them in three ways (FOLDER=… for your own documents)
	@$(PY) examples/demo.py $(folder)

.PHONY: serve
serve: $(PACKAGE) ## serve a search over documents until Ctrl-C (FOLDER=… for your own documents, AT=ADDRESS)
	@$(VENV)/bin/letterhead serve $(folder) $(at)

.PHONY: test
test: $(DEV) ## all checks, the whole suite on Python 3.11, a smoke run on newer Pythons found
	@$(call timed,all checks and tests,$(MAKE) -k -j2 suite beside)

# What runs beside the suite, and says all that it has to say at its end.
.PHONY: beside
beside: $(DEV)
	@said=$$({ $(call timed,check,$(MAKE) check); $(MAKE) smoke; } 2>&1); status=$$?; echo "$$said"; exit $$status

.PHONY: check
check: $(DEV) ## the quick gate: format, lint, types, layers, links, examples
	@failed=; run() { "$$@" || failed=yes; }; \
	run $(PY) -m ruff format --check --quiet --output-format concise $(code); \
	run $(PY) -m ruff check --quiet --output-format concise $(code); \
	run $(PY) -m mypy --no-error-summary $(code); \
	run $(PY) scripts/check_layers.py; \
	run $(PY) scripts/check_links.py; \
	[ ! -d examples ] || run $(PY) -m compileall -q examples; \
	[ -z "$$failed" ]

# Twice as many processes as processors: many tests wait for sockets and timers.
WORKERS := $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

.PHONY: suite
suite: $(DEV) ## the whole suite (on Python 3.11 where there is one)
	@version=$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	[ $$version = 3.11 ] || echo "the suite runs on Python $$version: that is what .venv was made with"; \
	$(call timed,suite on $$version,$(PY) -m pytest -q -p no:cacheprovider -n $(WORKERS))

SEED := $(shell date +%s)
.PHONY: shuffled
shuffled: $(DEV) ## the whole suite in a random order (SEED=…)
	@echo "SEED=$(SEED)"; $(PY) -m pytest -q -p no:cacheprovider -n $(WORKERS) --shuffle $(SEED)

.PHONY: long
long: $(DEV) ## what takes minutes: servers that restart, peers that vanish, a network that is cut (root)
	@$(PY) -m pytest -q -p no:cacheprovider -m long -rs -s tests/long

.PHONY: smoke
smoke: $(DEV) ## the tests marked smoke, on each newer Python found
	@for version in $(NEWER); do \
		$(PY) -c "import sys; sys.exit(sys.version_info >= ($${version%.*}, $${version#*.}))" || continue; \
		if ! sh scripts/find_python.sh $$version >/dev/null; then \
			echo "smoke on $$version: no such Python found, left out"; continue; fi; \
		$(call timed,smoke on $$version,$(MAKE) --quiet .venv-$$version/test.stamp && \
			.venv-$$version/bin/python -m pytest -q -p no:cacheprovider -m smoke \
				$$(grep -rl --include='test_*.py' 'mark\.smoke' tests)); \
	done

RUNS := 2000
.PHONY: model
model: $(DEV) ## both sides of a conversation, then a client's core, against references, in random orders (RUNS=…)
	@$(PY) -m tests.protocol.model --runs $(RUNS)
	@$(PY) -m tests.client.core.model --runs $(RUNS)

.PHONY: dev
dev: $(DEV) ## make the environment with all that tests and checks need

.PHONY: bench-quick
bench-quick: $(PACKAGE) ## requests per second beside plain sockets, in under a minute
	@$(PY) benchmarks/quick.py

.PHONY: bench-streams
bench-streams: $(PACKAGE) ## streams beside plain sockets, stalled ones, cancelled ones, idle ones, in some two minutes
	@$(PY) -m benchmarks.streams

.PHONY: bench-search
bench-search: $(PACKAGE) ## how fast the standard library is indexed, and what a query takes
	@$(PY) benchmarks/search.py

.PHONY: bench-scale
bench-scale: $(PACKAGE) ## the same over 100,000 files of 1 GB, made up: some minutes, and 3 GB of disk
	@$(PY) benchmarks/search.py --files 100000 --rounds 1

.PHONY: bench-start
bench-start: $(PACKAGE) ## how long a command takes from the start of its process to its end
	@$(PY) benchmarks/start.py

# All extras are in the locks: tests run with them, and what `make` made can do everything.
EXTRAS := --extra array --extra pdf --extra process --extra watch --extra zstd
.PHONY: lock
lock: .venv-lock/lock.stamp ## renew the locks in requirements/ from pyproject.toml
	@compile() { .venv-lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
		--no-cache --system-certs --quiet --upgrade "$$@"; }; \
	compile -o requirements/runtime.txt pyproject.toml $(EXTRAS) --group build && \
	compile -o requirements/test.txt pyproject.toml $(EXTRAS) --group test -c requirements/runtime.txt && \
	compile -o requirements/dev.txt pyproject.toml $(EXTRAS) --group dev -c requirements/test.txt && \
	compile -o requirements/lock.txt --group lock

.PHONY: clean
clean: ## remove the environments and everything else that was made
	@rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(code) -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements/runtime.txt scripts/environment.py
	@python=$$(sh scripts/find_python.sh) && echo "making $(VENV) with $$python" && \
		"$$python" scripts/environment.py create $(VENV)
	@$(PY) scripts/environment.py install requirements/runtime.txt
	@printf '%s\n' $(call quoted,$(CURDIR) $(PYTHON)) > $(VENV)/made-for
	@touch $@

$(PACKAGE): pyproject.toml $(RUNTIME)
	@$(PY) scripts/environment.py package
	@$(PY) scripts/environment.py compile
	@touch $@

$(DEV): requirements/dev.txt $(PACKAGE)
	@echo "adding what tests and checks need to $(VENV)"
	@$(PY) scripts/environment.py install requirements/dev.txt
	@$(PY) scripts/environment.py compile
	@touch $@

.venv-%/test.stamp: requirements/test.txt scripts/environment.py pyproject.toml
	@python=$$(sh scripts/find_python.sh $*) && echo "making $(@D) with $$python" && \
		"$$python" scripts/environment.py create $(@D)
	@$(@D)/bin/python scripts/environment.py install requirements/test.txt
	@$(@D)/bin/python scripts/environment.py package
	@$(@D)/bin/python scripts/environment.py compile
	@printf '%s\n' $(call quoted,$(CURDIR)) > $(@D)/made-for
	@touch $@

.venv-lock/lock.stamp: requirements/lock.txt scripts/environment.py
	@python=$$(sh scripts/find_python.sh) && "$$python" scripts/environment.py create $(@D)
	@$(@D)/bin/python scripts/environment.py install requirements/lock.txt
	@printf '%s\n' $(call quoted,$(CURDIR)) > $(@D)/made-for
	@touch $@
