# `make` alone says what there is.

# Your own settings if you have made some, else the example.
env_file := $(firstword $(wildcard .env) .env.example)
compose  := docker compose --env-file $(env_file)
# All tests but those of the suites `browser` and `faults`, which have scripts of their own. With all features, so that every
# suite uses the same build.
not_special := --lib --bins --test e2e --test command_line --test metrics_documented --test tracing_disabled
# Tests mostly wait for servers, not for a processor.
threads := $(shell echo $$((2 * $$(nproc) + 1)))

.DEFAULT_GOAL := help
.PHONY: help up down logs run test test-browser screenshots test-faults test-all test-security test-coverage test-compose test-schema check-deploy fuzz lint layers deny audit migrate migration bench clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: ## Start everything in containers (development form) and wait until it is healthy
	@echo "The first start compiles for some minutes; make logs s=api shows how far it is, and what is wrong if it does not end."
	$(compose) up --build --detach --wait

run: ## The same in the foreground, with its log; Ctrl-C stops it
	$(compose) up --build

down: ## Stop the containers; the data stays
	$(compose) --profile '*' down --remove-orphans

logs: ## Follow the log; s=api for that of one service
	$(compose) logs --follow $(s)

test: ## Run every test, with private servers unless DATABASE_URL and AMQP_URL are set; BROWSER=no without Chromium
	scripts/with-servers cargo test --workspace --all-features $(not_special) -- --test-threads=$(threads)
	@[ "$(BROWSER)" = no ] || scripts/test-browser --if-possible

test-browser: ## Drive the pages in a real Chromium, which is installed if need be
	scripts/test-browser

screenshots: ## Take the pictures of the README again
	SCREENSHOTS=docs/images scripts/test-browser screenshots

test-faults: ## Kill, cut off and stall everything under load; FULL=1 takes most of an hour
	@scripts/test-faults

test-all: ## Run the long forms of all suites (scripts/test-all PART runs one of its parts)
	scripts/test-all

test-security: ## Run the tests of the numbered attacks only (S-01 to S-29)
	scripts/with-servers cargo test --workspace --all-features $(not_special) -- $(foreach n,01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29,s_$(n)_)

test-coverage: ## Run every test and show which lines they reach (needs cargo-llvm-cov)
	@command -v cargo-llvm-cov >/dev/null || { echo "cargo-llvm-cov is missing: cargo install cargo-llvm-cov"; exit 1; }
	scripts/with-servers cargo llvm-cov --workspace

test-compose: ## Bring the real stack up by compose, sign somebody up, bring it down; both forms
	scripts/test-compose

test-schema: ## Have Schemathesis attack a real service by its spec (needs Python with venv)
	scripts/test-schema

check-deploy: ## Check alarms, dashboard and docs/OPERATIONS.md against each other, with promtool
	@scripts/check-deploy

TIME ?= 60
fuzz: ## Run each fuzzer for a minute, or for TIME=seconds
	scripts/fuzz $(TIME)

lint: ## Check format and clippy, warnings being errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps --document-private-items
	scripts/common-passwords --check

layers: ## Check that every outside crate stays in its room
	scripts/layers

deny: ## Check licences, sources and duplicates of all that is compiled in (deny.toml)
	scripts/deny licenses bans sources

audit: ## Look for known vulnerabilities, if the database of advisories can be had
	scripts/deny advisories

migrate: ## Bring the schema of the compose database up to date
	$(compose) run --rm --build api sh -c 'cargo build --workspace --bin api --bin worker && api migrate'

migration: ## Make the file of the next migration: make migration name=add_something
	@scripts/new-migration '$(name)'

bench: ## Measure everything, for a quarter of an hour, into docs/PERFORMANCE.md; QUICK=1 only sees that it runs
	@scripts/bench

clean: ## Remove what was built, and the containers with their data
	$(compose) --profile '*' down --volumes --remove-orphans --rmi local
	cargo clean
