#!/bin/sh
# What the runtime's look-ups are compared with: gets its two peers, JavaScript's @adcp/sdk and Python's adcp, at pinned
# versions and has each do the work of the runtime's own bench. Called by that bench, or by hand:
# `sh bench/peers/run.sh`. Standard output is one JSON object per figure; everything else goes to standard error.
# Arguments go to both programs, which check them (see SETTINGS in bench/peers/registry.mjs). Two mean something here:
#   --servers         let the JavaScript peer build its server for each tenant too: needs three packages more
#   --fetch-only      get the peers and stop
# Invariants: nothing is installed outside the cache folder, and no script of a package is run while installing; what is
# half fetched is never taken. What is missing is said and gives status 3, after whatever could be run was run.
set -eu

NPM_VERSION=6.11.0
NPM_INTEGRITY='sha512-FZbMxELHVBfEoVomhQUlvS3My7LtYIxD4w+MrofSdtKjmYVX7/f9x2347WxGcY1+kqBxHNtaHoAyMdGr8YXiFw=='
PYPI_VERSION=9.2.0
PYPI_SHA256=36321170849ab5a406766a134bcf291a6ec0b28ff0d57ddc76025fbcdb378817
CACHE=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tenant-registry/peers

here=$(cd "$(dirname "$0")" && pwd)
servers='' fetch_only='' missing='' failed=''
for argument in "$@"; do
    case $argument in
        --servers) servers=-servers ;;
        --fetch-only) fetch_only=true ;;
    esac
done
sdk=$CACHE/npm-$NPM_VERSION$servers
wheel=$CACHE/adcp-$PYPI_VERSION-py3-none-any.whl
part=$CACHE/part.$$

say() { printf '%s\n' "$*" >&2; }

lacks() {
    say "MISSING: $*"
    missing=true
    return 1
}

find_node() {
    command -v node >/dev/null || lacks 'node 18 or newer. The figures of @adcp/sdk are left out.' || return
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' ||
        lacks "node 18 or newer, this is $(node --version). The figures of @adcp/sdk are left out."
}

find_python() {
    command -v python3 >/dev/null || lacks 'python3 3.10 or newer. The figures of adcp are left out.' || return
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        lacks "python3 3.10 or newer, this is $(python3 --version). The figures of adcp are left out."
}

# The registry's own file needs no other package. What it builds a server with are peer dependencies; --servers adds those.
fetch_sdk() {
    [ -d "$sdk" ] && return
    command -v npm >/dev/null || lacks 'npm, to get @adcp/sdk with. Its figures are left out.' || return
    say "Getting @adcp/sdk $NPM_VERSION into $sdk"
    mkdir -p "$part"
    echo '{"private": true}' >"$part/package.json"
    set -- "@adcp/sdk@$NPM_VERSION"
    [ -z "$servers" ] || set -- "$@" zod@4.6.7 @modelcontextprotocol/sdk@1.32.2 @a2a-js/sdk@0.3.4
    if ! npm install --prefix "$part" --save-exact --legacy-peer-deps --ignore-scripts --no-audit --no-fund "$@" >&2; then
        lacks "@adcp/sdk $NPM_VERSION: npm could not install it. Its figures are left out."
        return
    fi
    grep -qF "$NPM_INTEGRITY" "$part/package-lock.json" ||
        lacks "@adcp/sdk $NPM_VERSION as it was pinned: npm gave another content. Its figures are left out." || return
    # Somebody else may have been quicker, and `mv` would put ours into theirs.
    [ -d "$sdk" ] || mv "$part" "$sdk"
}

# Only the wheel, which Python reads as it is: unpacked it is seven times as large, nearly all of it schemas, and the
# registry's two modules do without its more than 50 dependencies. The venv is for its pip and goes again.
fetch_wheel() {
    [ -f "$wheel" ] && return
    say "Getting adcp $PYPI_VERSION into $wheel"
    mkdir -p "$part"
    if ! python3 -m venv "$part/venv" >&2; then
        lacks 'venv for python3 (Debian: apt-get install python3-venv). The figures of adcp are left out.'
        return
    fi
    echo "adcp==$PYPI_VERSION --hash=sha256:$PYPI_SHA256" >"$part/requirements.txt"
    if ! "$part/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --dest "$part" --requirement "$part/requirements.txt" >&2; then
        lacks "adcp $PYPI_VERSION: pip could not get it as it was pinned. Its figures are left out."
        return
    fi
    mv -f "$part/${wheel##*/}" "$wheel"
}

clean_up() { rm -rf "$part"; }

trap clean_up EXIT
trap 'exit 130' HUP INT TERM

node='' python=''
if find_node && fetch_sdk; then node=true; fi
clean_up
if find_python && fetch_wheel; then python=true; fi
clean_up
if [ -z "$fetch_only" ]; then
    # One after the other: each would be the other's noise.
    if [ -n "$node" ]; then node "$here/registry.mjs" "$sdk" "$@" || failed=true; fi
    if [ -n "$python" ]; then python3 "$here/registry.py" "$wheel" "$@" || failed=true; fi
fi
[ -z "$failed" ] || exit 1
[ -z "$missing" ] || exit 3
