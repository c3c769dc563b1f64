#!/bin/sh
# Gets the tests a PostgreSQL server: found, else installed, else in a container; else it says the one command to run.
# Called by the Makefile with the command to run beside it (`scripts/ensure-postgres.sh cargo test`), or by hand without
# any, to see or install what there is: then the last line of the output is where the server is.
# The tests start and stop a private server themselves from the binaries (crates/store/src/testing/postgres.rs, which
# looks in the same places); only a container is started, handed on as TEST_POSTGRES_URL, and removed here.
# Invariant: nothing is installed unless the caller is root or says TEST_INSTALL=1, and no server is left running.
set -eu

CONTAINER_IMAGE=${TEST_POSTGRES_IMAGE:-docker.io/library/postgres:16}

say() { printf '%s\n' "$*" >&2; }

has_server() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ]; }

# Prints the folder of the binaries.
find_server() {
    if [ -n "${TEST_POSTGRES_BIN:-}" ]; then
        has_server "$TEST_POSTGRES_BIN" && printf '%s\n' "$TEST_POSTGRES_BIN"
        return
    fi
    on_path=$(command -v initdb) && on_path=${on_path%/*} && has_server "$on_path" && printf '%s\n' "$on_path" && return
    newest='' newest_version=-1
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* /usr/local/pgsql/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        has_server "$folder" || continue
        version=$(printf '%s\n' "$folder" | sed 's/[^0-9]//g')
        if [ "${version:-0}" -gt "$newest_version" ]; then newest=$folder newest_version=${version:-0}; fi
    done
    [ -n "$newest" ] && printf '%s\n' "$newest"
}

# Debian would create a cluster at the installation and start it at every boot; the tests want the binaries alone.
install_with_apt() {
    settings=/etc/postgresql-common/createcluster.d/99-no-cluster-for-tests.conf
    as_root mkdir -p "${settings%/*}"
    echo 'create_main_cluster = false' | as_root tee "$settings" >/dev/null
    installed=true
    as_root apt-get -q -o DPkg::Lock::Timeout=300 update || true
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends postgresql || installed=false
    as_root rm -f "$settings"
    "$installed"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_server() {
    say 'No PostgreSQL server found: installing one with the package manager.'
    if command -v apt-get >/dev/null; then install_with_apt
    elif command -v dnf >/dev/null; then as_root dnf install -y postgresql-server postgresql-contrib
    elif command -v apk >/dev/null; then as_root apk add --no-cache postgresql postgresql-client postgresql-contrib
    elif command -v brew >/dev/null; then brew install postgresql@16
    else say 'No package manager that this script knows (apt-get, dnf, apk, brew).'; return 1
    fi >&2
}

# Prints the engine that answers.
find_engine() {
    for engine in docker podman; do
        if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then printf '%s\n' "$engine"; return; fi
    done
    return 1
}

remove_container() { "$engine" rm --force --volumes "$container" >/dev/null 2>&1 || true; }

# Sets `engine`, `container` and TEST_POSTGRES_URL.
start_container() {
    container=tenant-registry-tests-$$
    say "No PostgreSQL server found: starting $CONTAINER_IMAGE with $engine."
    "$engine" run --detach --rm --name "$container" --publish 127.0.0.1::5432 --env POSTGRES_HOST_AUTH_METHOD=trust \
        "$CONTAINER_IMAGE" -c fsync=off -c full_page_writes=off -c max_connections=200 >/dev/null || return 1
    port=$("$engine" port "$container" 5432/tcp | sed -n '1s/.*://p')
    TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres
    # Over TCP: while the image prepares itself, its server listens on a socket only.
    rounds=0
    until "$engine" exec "$container" pg_isready --quiet --host 127.0.0.1 --username postgres; do
        rounds=$((rounds + 1))
        if [ "$rounds" -ge 60 ]; then say 'The container does not get ready.'; remove_container; return 1; fi
        sleep 1
    done
}

may_install() { [ "${TEST_INSTALL:-}" = 1 ] || { [ "$(id -u)" -eq 0 ] && [ "${TEST_INSTALL:-}" != 0 ]; }; }

run_or_print() {
    where=$1
    shift
    if [ "$#" -eq 0 ]; then printf '%s\n' "$where"; exit 0; fi
    exec "$@"
}

if [ -n "${TEST_POSTGRES_URL:-}" ]; then run_or_print 'TEST_POSTGRES_URL is set' "$@"; fi
if folder=$(find_server); then run_or_print "$folder" "$@"; fi
if [ -n "${TEST_POSTGRES_BIN:-}" ]; then say "TEST_POSTGRES_BIN: no initdb and postgres in $TEST_POSTGRES_BIN"; exit 1; fi
if may_install && install_server && folder=$(find_server); then run_or_print "$folder" "$@"; fi
if engine=$(find_engine) && start_container; then
    if [ "$#" -eq 0 ]; then
        say "Remove it with: $engine rm --force --volumes $container"
        run_or_print "TEST_POSTGRES_URL=$TEST_POSTGRES_URL"
    fi
    trap remove_container EXIT
    trap 'exit 130' HUP INT TERM
    export TEST_POSTGRES_URL
    status=0
    "$@" || status=$?
    exit "$status"
fi
say 'No PostgreSQL server found, and no container engine answers. Run this once:'
say '    TEST_INSTALL=1 scripts/ensure-postgres.sh'
exit 1
