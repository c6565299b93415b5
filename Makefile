# `make` lists the targets.

# .env if it exists, else the example.
env_file := $(firstword $(wildcard .env) .env.example)
compose  := docker compose --env-file $(env_file)
# All tests but those of the suites `browser` and `faults`, which have scripts of their own. With all features, so that every
# suite uses the same build.
not_special := --lib --bins --test e2e --test command_line --test metrics_documented --test tracing_disabled
# Tests mostly wait for servers, not for a processor.
threads := $(shell echo $$((2 * $$(nproc) + 1)))

.DEFAULT_GOAL := help
.PHONY: help up down logs run test test-browser screenshots test-faults test-all test-security test-coverage test-compose test-schema check-deploy fuzz fuzz-check mutants model lint layers deny audit migrate migration bench bench-growth clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: ## Start the development stack in containers and wait until it is healthy
	@echo "The first start compiles for several minutes; make logs s=api shows the progress and errors."
	$(compose) up --build --detach --wait

run: ## The same in the foreground with its log; Ctrl-C stops it
	$(compose) up --build

down: ## Stop the containers; keep the data
	$(compose) --profile '*' down --remove-orphans

logs: ## Follow the log; s=api for one service
	$(compose) logs --follow $(s)

test: ## Run all tests, on private servers unless DATABASE_URL and AMQP_URL are set; BROWSER=no skips Chromium
	scripts/with-servers cargo test --workspace --all-features $(not_special) -- --test-threads=$(threads)
	@[ "$(BROWSER)" = no ] || scripts/test-browser --if-possible

test-browser: ## Run the browser tests in Chromium (installed if missing)
	scripts/test-browser

screenshots: ## Recreate the screenshots of the README
	SCREENSHOTS=docs/images scripts/test-browser screenshots

test-faults: ## Kill, disconnect and stall processes and servers under load; FULL=1 takes most of an hour
	@scripts/test-faults

test-all: ## Run the long forms of all suites (scripts/test-all PART runs one of its parts)
	scripts/test-all

test-security: ## Run only the tests of the numbered attacks (S-01 to S-42)
	scripts/with-servers cargo test --workspace --all-features $(not_special) -- $(foreach n,01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 42,s_$(n)_)

test-coverage: ## Run all tests and report line coverage (requires cargo-llvm-cov)
	@command -v cargo-llvm-cov >/dev/null || { echo "cargo-llvm-cov is missing: cargo install cargo-llvm-cov"; exit 1; }
	scripts/with-servers cargo llvm-cov --workspace

test-compose: ## Start the compose stack, sign up and activate a user, stop it; both forms
	scripts/test-compose

test-schema: ## Test a running service against its OpenAPI document with Schemathesis (requires Python with venv)
	scripts/test-schema

check-deploy: ## Check alarms, dashboard and docs/OPERATIONS.md against each other with promtool
	@scripts/check-deploy

TIME ?= 60
fuzz: ## Run each fuzz target for a minute, or for TIME=seconds
	scripts/fuzz $(TIME)

fuzz-check: ## Check that the fuzz targets compile
	scripts/fuzz --check

mutants: ## Change the rules one by one and check that a unit test fails; FILES=api/src/domain/email.rs or SHARD=1/4 for a part
	@scripts/mutants

model: ## Search models of messages and of guesses at codes exhaustively; each broken rule must be found
	cargo build --quiet --locked --workspace --all-features --bin model
	"$${CARGO_TARGET_DIR:-target}/debug/model"

lint: ## Check formatting and run clippy with warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps --document-private-items
	scripts/common-passwords --check

layers: ## Check the dependency rules between folders and crates
	scripts/layers

deny: ## Check licences, sources and duplicates of all dependencies (deny.toml)
	scripts/deny licenses bans sources

audit: ## Check dependencies for known vulnerabilities, if there is a copy of the advisory database (deny.toml)
	scripts/deny advisories

migrate: ## Migrate the schema of the compose database
	$(compose) run --rm --build api sh -c 'cargo build --workspace --bin api --bin worker && api migrate'

migration: ## Create the next migration file: make migration name=add_something
	@scripts/new-migration '$(name)'

bench: ## Run all benchmarks (a quarter of an hour) and update docs/PERFORMANCE.md; QUICK=1 only checks that they run
	@scripts/bench

bench-growth: ## Check that requests cost the same in large tables and with old snapshots (three quarters of an hour), and update docs/PERFORMANCE.md
	@scripts/bench growth

clean: ## Remove build output, and the containers with their data
	$(compose) --profile '*' down --volumes --remove-orphans --rmi local
	cargo clean
