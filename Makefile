# Every task of the project, for people and for CI; `make` alone lists them.
# `dev` and `test` need a Rust toolchain, make and a C compiler, and nothing else installed beforehand: PostgreSQL comes
# through scripts/ensure-postgres.sh, a JDK and Keycloak through scripts/ensure-keycloak.sh.
# CARGO_FLAGS reaches every cargo command that builds, `make test CARGO_FLAGS=--locked` for example.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help

CARGO ?= cargo
CARGO_FLAGS ?=
REGISTRY := $(CARGO) run --quiet $(CARGO_FLAGS) --package server --bin tenant-registry --
WITH_POSTGRES := sh scripts/ensure-postgres.sh
WITH_KEYCLOAK := sh scripts/ensure-keycloak.sh

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: dev dev-full build keycloak-mapper
dev: ## Build and run the service on :8090, embedded store, no other service needed
	APP_ENV=dev $(CARGO) run $(CARGO_FLAGS) --package server --bin tenant-registry -- serve

dev-full: ## Run the service with PostgreSQL, Keycloak and a mail sink, all on this machine
	@CARGO=$(CARGO) sh scripts/dev-full.sh $(CARGO_FLAGS)

build: ## Build ./bin/tenant-registry, optimised
	$(CARGO) build --release $(CARGO_FLAGS) --package server --bin tenant-registry
	@mkdir -p bin
	@cp "$${CARGO_TARGET_DIR:-target}/release/tenant-registry" bin/tenant-registry.new
	@mv bin/tenant-registry.new bin/tenant-registry

keycloak-mapper: ## Build ./bin/tenant-registry-mapper.jar, Keycloak's part of the claims
	@$(WITH_KEYCLOAK) --mapper

.PHONY: test test-short bench bench-runtime
test: ## Run all tests, on SQLite, a private PostgreSQL and a private Keycloak
	TEST_SHORT= $(WITH_POSTGRES) $(WITH_KEYCLOAK) $(CARGO) test $(CARGO_FLAGS) --workspace

test-short: ## Run the tests that need no server beside them
	TEST_SHORT=1 $(CARGO) test $(CARGO_FLAGS) --workspace

bench-runtime: ## Run the benchmarks of the crate tenancy alone (ONLY="resolve layer" selects)
	$(CARGO) bench $(CARGO_FLAGS) --package tenancy --bench runtime -- $(ONLY)

bench: bench-runtime ## Run the benchmarks, each against its limit (ONLY="by-slug verify" selects)
	$(WITH_POSTGRES) $(CARGO) bench $(CARGO_FLAGS) --package server --bench registry -- $(ONLY)

.PHONY: lint lint-format lint-code lint-features lint-docs fmt
lint: lint-format lint-code lint-features lint-docs ## Check formatting, clippy and the documentation

lint-format:
	$(CARGO) fmt --all --check

lint-code:
	$(CARGO) clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings

# The tests see every feature of the runtime; those who embed it see few.
lint-features:
	@for features in '' http tower axum serve; do \
		$(CARGO) check $(CARGO_FLAGS) --quiet --package tenancy --features "$$features"; \
	done

lint-docs:
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc $(CARGO_FLAGS) --workspace --no-deps --features tenancy/http,tenancy/serve

fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: migrate-up migrate-down migrate-down-all migrate-version migrate-create need-database
migrate-up: need-database ## Migrate the schema in DATABASE_URL to the newest version
	@$(REGISTRY) migrate up

migrate-down: need-database ## Undo the newest migration in DATABASE_URL
	@$(REGISTRY) migrate down

migrate-down-all: need-database ## Undo every migration in DATABASE_URL (APP_ENV=dev only)
	@$(REGISTRY) migrate down-all

migrate-version: need-database ## Show the schema version of DATABASE_URL
	@$(REGISTRY) migrate version

migrate-create: ## Create the files of a new migration: make migrate-create NAME=add_colour
	@if [ -z "$${NAME:-}" ]; then echo 'Say what it does: make migrate-create NAME=add_colour' >&2; exit 1; fi
	@$(REGISTRY) migrate create "$$NAME"

need-database:
	@if [ -z "$${MIGRATION_DATABASE_URL:-$${DATABASE_URL:-}}" ]; then \
		echo 'DATABASE_URL is not set. Example: DATABASE_URL=postgres://owner@localhost/registry make migrate-up' >&2; \
		exit 1; \
	fi

.PHONY: openapi clean
openapi: ## Write openapi.yaml anew from the code
	@trap 'rm -f openapi.yaml.new' EXIT; $(REGISTRY) openapi > openapi.yaml.new; mv openapi.yaml.new openapi.yaml

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf bin
