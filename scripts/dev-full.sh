#!/bin/sh
# `make dev-full`: builds the service and starts it with PostgreSQL, Keycloak and a mail sink, all on this machine.
# What is missing is got by the two scripts before it; the rest is crates/server/examples/dev-full.rs, which starts and
# ends everything by the code of the tests. Arguments go to cargo (`--locked`).
# Invariant: the last command replaces this shell, so that signals reach the one who ends the others.
set -eu

cd "$(dirname "$0")/.."
"${CARGO:-cargo}" build "$@" --package server --bin tenant-registry --example dev-full
exec sh scripts/ensure-postgres.sh sh scripts/ensure-keycloak.sh "${CARGO_TARGET_DIR:-target}/debug/examples/dev-full"
