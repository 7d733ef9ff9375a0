# Everything that takes more than one command. `make run` and `make test` work
# on a machine with git, a C compiler and a Rust toolchain; they find or install
# everything else (see `setup`, scripts/browser.sh, scripts/edge.sh,
# scripts/npm.sh, scripts/python.sh, scripts/pushflo.sh, scripts/foreign.sh,
# scripts/pebble.sh, scripts/conformance.sh).
# Nothing here asks a question, and nothing waits for a network for longer than
# minutes.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help check-tools setup guests run browser edge pebble suite test js-client adversary mutants models conformance fuzz counts counts-accept bench bench-noisy bench-idle bench-goes bench-starts bench-peers bench-edge bench-admission bench-channels bench-http bench-soak soak fmt deny lint

help: ## Say what there is
	@echo 'usage: make TARGET'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'OPENLINE_WASM_TARGET=wasm32-wasip2 or wasm32-wasip1 chooses how functions are'
	@echo 'compiled; OPENLINE_SKIP_BROWSER=1 leaves out the test that needs a browser,'
	@echo 'OPENLINE_SKIP_EDGE=1 those that need nginx, HAProxy, OpenSSL, Node and Python,'
	@echo 'OPENLINE_SKIP_JS=1 those of the JavaScript client, which need Node,'
	@echo 'OPENLINE_SKIP_PEBBLE=1 the one that needs Pebble, an authority of certificates,'
	@echo 'OPENLINE_SKIP_CONFORMANCE=1 the one that needs Python and the Autobahn suite,'
	@echo 'OPENLINE_SKIP_INSTRUCTIONS=1 the counts that need valgrind.'

# Reports a missing tool in a sentence, before the first compiler error does.
check-tools:
	@command -v cc >/dev/null || { \
	    echo 'error: there is no C compiler (`cc`)' >&2; \
	    echo 'hint: install one (Debian: `apt-get install gcc libc6-dev`, macOS: `xcode-select --install`)' >&2; \
	    exit 1; }
	@command -v $(CARGO) >/dev/null || { \
	    echo 'error: there is no Rust toolchain (`$(CARGO)`)' >&2; \
	    echo 'hint: install one with rustup (https://rustup.rs)' >&2; \
	    exit 1; }

setup: check-tools ## Find or install a toolchain for WebAssembly
	@$(CARGO) run --quiet -p openline-build --no-default-features -- setup </dev/null

guests: setup ## Build the sample functions, as target/guests/NAME.wasm
	$(CARGO) build --release -p openline-guests

run: guests ## Start the host with the sample functions on 127.0.0.1:8080
	$(CARGO) run --release -p openline -- serve --config guests/openline.toml

browser: # Find or install a browser, for `test`
	@scripts/browser.sh

edge: # Find or install proxies and clients, for `test`
	@scripts/edge.sh
	@scripts/npm.sh
	@scripts/python.sh
	@scripts/pushflo.sh
	@scripts/foreign.sh

pebble: # Find or install an authority of certificates, for `test`
	@scripts/pebble.sh

suite: # Find or install Python and the Autobahn test suite, for `test`
	@scripts/conformance.sh setup

# The build of the tests has made the host's program and the functions.
test: setup browser edge pebble suite ## Test everything, also the page in a real browser
	$(CARGO) test --workspace
	$(CARGO) test --quiet --manifest-path guests/Cargo.toml --target-dir target/guests/tests -p socket-io -p notify -p llm-relay -p grpc
	@scripts/js-client.sh
	@scripts/js-client.sh browser
	@scripts/conformance.sh quick

js-client: browser ## Test the JavaScript client, its types, and it in a real browser
	@scripts/js-client.sh types
	@scripts/js-client.sh browser

# Another first seed each time; a failure prints its own.
BUDGET ?= 3600

adversary: setup ## Random plans against the real host, with judges (BUDGET=3600 seconds)
	$(CARGO) test -p openline --test adversary -- --budget $(BUDGET) --seed $$(date +%s)

MINUTES ?= 10

soak: setup ## Random plans one after the other in one host, which must keep nothing (MINUTES=10)
	$(CARGO) test -p openline --test adversary -- --soak --budget $$(($(MINUTES) * 60)) --seed $$(date +%s)

mutants: setup ## Take out mends one by one: the adversary or a test finds each (MUTANTS='NAME …'; two hours)
	scripts/mutants.sh $(MUTANTS)

# More schedules than in `test`; PREEMPTIONS=4 takes hours.
PREEMPTIONS ?= 3
SCHEDULES ?= 100000

models: check-tools ## Every schedule of the lock-free parts, many of the pools, and faults they must find (PREEMPTIONS=3 SCHEDULES=100000)
	LOOM_MAX_PREEMPTIONS=$(PREEMPTIONS) $(CARGO) test --release --target-dir target/models -p openline-models-loom
	SHUTTLE_SCHEDULES=$(SCHEDULES) $(CARGO) test --release --target-dir target/models -p openline-models-shuttle
	host/models/mutants/check.sh

conformance: guests ## Judge the host with the whole Autobahn test suite (a minute)
	$(CARGO) build --release -p openline
	@scripts/conformance.sh full

# Optimised, but linked in seconds: a check of every change should not wait for
# optimisations that only users need.
BUILD_COUNTS = $(CARGO) build --profile quick -p openline-benches --bin counts
COUNTS = $${CARGO_TARGET_DIR:-target}/quick/counts

counts: setup ## Fail if a message costs 10 % more allocations or instructions (1 minute)
	$(BUILD_COUNTS)
	$(COUNTS)

counts-accept: setup ## Accept what a message costs now, as benches/counts.toml
	$(BUILD_COUNTS)
	$(COUNTS) --accept

TARGET ?= frames
SECONDS ?= 60

fuzz: check-tools ## Search with libFuzzer (TARGET=websocket|deflate|extensions|frames|handshake|hello|proxy|hops|token|keys|signature|session|request|publish|config|rules|lists|azion|publication|position|rows|component|deploy, SECONDS=60)
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/coverage-rustc.sh \
	    $(CARGO) build -p openline-fuzz --features libfuzzer
	@mkdir -p target/fuzz/found/$(TARGET)
	OPENLINE_FUZZ_TARGET=$(TARGET) target/debug/fuzz target/fuzz/found/$(TARGET) fuzz/corpus/$(TARGET) \
	    -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -artifact_prefix=target/fuzz/

bench: guests ## Measure against a native echo, and in one process (12 minutes)
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) bench --quiet -p openline-benches >/dev/null
	$(CARGO) run --release --quiet -p openline-end-to-end --bin end_to_end

bench-noisy: guests ## Measure the echo while eight functions compute (2 minutes)
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin noisy

bench-idle: guests ## Measure what idle connections cost in memory and in CPU time (12 minutes)
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin idle

bench-goes: guests ## Measure waking after hibernation, and deploys under load (2 minutes)
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin goes

bench-starts: guests ## Measure starting the host, and a thousand warm instances (1 minute)
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin starts

bench-peers: guests ## Measure beside Bun, Deno, Node, workerd and websocketd (an hour; ARGUMENTS=--quick)
	@benches/peers/setup.sh $(or $(CARGO_TARGET_DIR),target)/peers
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin peers -- $(ARGUMENTS)

bench-edge: guests ## Measure what TLS and HTTP/2 cost (15 minutes; ARGUMENTS='--crowd 100000')
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin edge -- $(ARGUMENTS)

bench-admission: guests ## Measure refused handshakes beside accepted ones (5 minutes; ARGUMENTS='--rounds 3')
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin admission -- $(ARGUMENTS)

bench-channels: check-tools ## Measure publications, recovery and publishers outside (10 minutes; ARGUMENTS='--centrifugo FILE')
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin channels -- $(ARGUMENTS)

bench-http: guests ## Measure answers of HTTP beside hyper, Deno and Bun (20 minutes; ARGUMENTS='--wasmtime FILE')
	@benches/peers/setup.sh $(or $(CARGO_TARGET_DIR),target)/peers
	$(CARGO) build --release -p openline -p openline-end-to-end
	$(CARGO) run --release --quiet -p openline-end-to-end --bin http -- $(ARGUMENTS)

bench-soak: guests ## 10,000 connections that misbehave, then a search for leaks (8 minutes)
	$(CARGO) build --release -p openline -p openline-soak
	$(CARGO) run --release --quiet -p openline-soak

fmt: ## Format all sources
	$(CARGO) fmt --all
	$(CARGO) fmt --all --manifest-path guests/Cargo.toml
	rustfmt --edition 2024 host/server/template/*.rs

deny: check-tools ## Check licences, sources and versions of what is depended on
	@scripts/deny.sh

lint: setup ## Check format and lints; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path guests/Cargo.toml
	rustfmt --edition 2024 --check host/server/template/*.rs
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --manifest-path guests/Cargo.toml --workspace -- -D warnings
