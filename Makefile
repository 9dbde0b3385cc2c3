# Everything that a developer or CI runs. `make` alone lists the targets.

CARGO ?= cargo
SECONDS ?= 60
PREEMPTIONS ?= 3
PREFIX ?= /usr/local
TARGET = $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help build library test test-variants test-large lint check-systems no-network demo crash torture conformance conformance-selftest conformance-reference conformance-lock loom loom-deep loom-mutants fuzz mutants miri asan verify bench bench-growth bench-peers instructions tails schemathesis browser doc deny setup install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build plasmite and pls, optimised
	$(CARGO) build --release

test: no-network ## run the test suite
	$(CARGO) test --features internals
	$(CARGO) test -p plasmite-fuzz -p plasmite-conformance
	$(CARGO) test --no-default-features
	scripts/library-users.sh

# The suite with what nothing may depend on taken away: wake-ups, the index, a truthful index. Servers and their clients
# find messages by the same calls as the rest, and are run where they sleep and wake.
ON_POOLS = --lib --test api --test cli_local --test crash --test faults --test model --test torture
NOT_ON_POOLS = $(addprefix --skip ,completion:: help:: manual:: narrow:: progress:: tap::)
test-variants: ## the tests that work on pools, without wake-ups, without an index, and with an index of noise
	$(CARGO) test --features internals,no-wake $(ON_POOLS) --test remote --test serve -- $(NOT_ON_POOLS)
	$(CARGO) test --features internals,no-index $(ON_POOLS) -- $(NOT_ON_POOLS)
	$(CARGO) test --features internals,noisy-index $(ON_POOLS) -- $(NOT_ON_POOLS)

test-large: ## a follower of a pool of 1 GiB, optimised
	$(CARGO) test --profile torture --features internals --test faults -- --ignored

lint: ## formatting and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path benches/peers/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --features internals -- -D warnings
	$(CARGO) clippy --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --features internals

check-systems: ## compile for systems that no test runs on: macOS, FreeBSD, and what there is for Windows (needs rustup)
	rustup target add aarch64-apple-darwin x86_64-unknown-freebsd x86_64-pc-windows-gnu
	$(CARGO) clippy --no-default-features --target aarch64-apple-darwin -- -D warnings
# A dependency of the command line compiles a file of C, which a check does not need, and which would ask for a C
# compiler for that system.
	CC_aarch64_apple_darwin=true AR_aarch64_apple_darwin=true $(CARGO) clippy --no-default-features --features cli --target aarch64-apple-darwin -- -D warnings
	$(CARGO) clippy --no-default-features --target x86_64-unknown-freebsd -- -D warnings
	$(CARGO) clippy --no-default-features --target x86_64-pc-windows-gnu -- -D warnings

no-network: ## check that the library alone needs no network, async or command-line crate
	scripts/no-network.sh

demo: ## feed, follow, fetch and check real output of this machine
	scripts/demo.sh

crash: ## every state that a crash may leave, of processes and of power
	PLASMITE_CRASH_FULL=1 $(CARGO) test --profile torture --features internals --test crash -- --nocapture

torture: ## processes under all that may happen to them and their pools, for SECONDS=60; a judge of the whole history
	PLASMITE_TORTURE_SECONDS=$(SECONDS) $(CARGO) test --profile torture --features internals --test torture

library: ## the shared library as strangers get it, for conformance; debug
	@mkdir -p "$(TARGET)/library"
	@scripts/install-library.sh "$(TARGET)/library/prefix" dev 2>"$(TARGET)/library/log" || { cat "$(TARGET)/library/log" >&2; exit 1; }

conformance: library ## run the cases of the specification on every surface; CASE=topic/name runs one
	$(CARGO) build --quiet
	$(CARGO) build --quiet -p plasmite-conformance
	$(TARGET)/debug/plasmite-conformance $(if $(CASE),--case $(CASE)) $(ARGS)

conformance-selftest: library ## break each surface on purpose, and check that the cases notice
	$(CARGO) build --quiet
	$(CARGO) build --quiet -p plasmite-conformance
	$(TARGET)/debug/plasmite-conformance selftest $(ARGS)

conformance-reference: ## the cases against an implementation in Python that is written from the specification alone
	$(CARGO) build --quiet -p plasmite-conformance
	$(TARGET)/debug/plasmite-conformance --adapter 'python3 conformance/reference/adapter.py' --out $(TARGET)/conformance/reference $(ARGS)

conformance-lock: ## lock the text of the clauses, once their cases were looked at
	$(CARGO) run --quiet -p plasmite-conformance -- lock

loom: ## explore the interleavings of writers, their deaths and a reader
	$(CARGO) test --profile loom -p plasmite-loom -- --nocapture --test-threads 1

loom-deep: ## the same with at least PREEMPTIONS=3 in each model
	PLASMITE_LOOM_PREEMPTIONS=$(PREEMPTIONS) $(MAKE) loom

loom-mutants: ## check that the models notice each way to break the protocol
	scripts/loom-mutants.sh

fuzz: ## attack decoders, openers and readers of streams, each for SECONDS=60 (needs `make setup` and nightly)
	fuzz/run.sh $(SECONDS)

mutants: ## change the core in every small way, and check that its tests notice; goes on where it was cut
	scripts/mutants.sh

miri: ## pure code of the core and the codecs under Miri (needs nightly)
	scripts/sanitize.sh miri

asan: ## unit, fault and torture tests with AddressSanitizer (needs nightly)
	scripts/sanitize.sh asan

verify: ## the bounded form of every check of what the specification promises; docs/verification.md says what each reaches
	scripts/verify.sh

# ARGS: names of rows, --quick for a glance, --no-fail, and --docs, which puts the page of a whole run into docs.
bench: ## measure against the floors of this machine, with plots of growth; a table here, JSON and a page in target/bench
	$(CARGO) bench --bench ratios --features internals -- $(ARGS)

bench-growth: ## the part of it that looks at how things grow
	$(CARGO) bench --bench ratios --features internals -- growth $(ARGS)

bench-peers: ## measure beside a locked file, SQLite, and Redis if it is there (`make setup` installs it)
	$(CARGO) run --quiet --release --locked --manifest-path benches/peers/Cargo.toml --target-dir "$(TARGET)/peers" -- $(ARGS)

instructions: ## count the instructions of the hot paths by callgrind, and compare; ARGS=--renew keeps the new counts
	$(CARGO) bench --bench instructions --no-default-features -- $(ARGS)

tails: ## a thousand tails on one server: are they complete, how late, and at what cost
	$(CARGO) bench --profile torture --bench tails

schemathesis: ## attack the server by its own OpenAPI description (fetches schemathesis from PyPI)
	scripts/schemathesis.sh

browser: ## a real browser's EventSource, and what pages of other origins may not do (needs Chromium)
	$(CARGO) build --quiet
	scripts/browser.py

doc: ## build the documentation of the Rust API
	$(CARGO) doc --no-deps --open --features internals

deny: ## licences, bans and sources of the dependencies (needs `make setup`)
	$(CARGO) deny --workspace check licenses bans sources

# `bench-peers` starts a Redis of its own, and `instructions` needs valgrind. RUNLEVEL keeps Debian from starting a server.
DEBIAN = redis-server valgrind
setup: ## install the tools that only some targets need
	$(CARGO) install --locked cargo-deny cargo-fuzz cargo-mutants
	@if command -v redis-server >/dev/null && command -v valgrind >/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
		$(if $(filter 0,$(shell id -u)),,sudo) env RUNLEVEL=1 apt-get install --yes --no-install-recommends $(DEBIAN); \
	else echo 'no apt-get here: install $(DEBIAN) by other means'; fi

install: build ## install plasmite and pls, their manual and completions, and the library with its header, below PREFIX=/usr/local
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(TARGET)/release/plasmite $(TARGET)/release/pls $(DESTDIR)$(PREFIX)/bin
	DESTDIR=$(DESTDIR) scripts/install-docs.sh $(PREFIX)
	DESTDIR=$(DESTDIR) scripts/install-library.sh $(PREFIX)

clean: ## remove everything that was built
	$(CARGO) clean
