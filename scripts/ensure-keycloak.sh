#!/bin/sh
# Gets the tests a Keycloak with our protocol mapper in it: found, else prepared once in a cache outside the checkout.
# Called by the Makefile with the command to run beside it (`scripts/ensure-keycloak.sh cargo test`), or by hand without
# any, to see or prepare what there is: then the last line of the output is its folder. The command gets that folder as
# TEST_KEYCLOAK_HOME; it starts and ends the servers itself (crates/server/tests/it/keycloak/real.rs).
#   --find            only look: fail where it would have to prepare something
#   --mapper          compile the mapper into bin/ and nothing else
# Invariants: a prepared folder appears whole or not at all, however many runs prepare it at once; nothing is installed
# unless the caller is root or says TEST_INSTALL=1; no server is left running. No variable of ours begins with `KC_`:
# Keycloak takes every one of those for an option and stops at those that it does not know.
set -eu

VERSION=26.7.3
SHA256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
CENTRAL=https://repo1.maven.org/maven2
CACHE=${TEST_KEYCLOAK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/tenant-registry/keycloak}
JAR=tenant-registry-mapper.jar
# Count up when what is done to a fresh server below changes, so that folders prepared before are not taken any more.
RECIPE=1
# What a server has to say in its log before it is taken for ready.
READY='Listening on:'

root=$(cd "$(dirname "$0")/.." && pwd)
mapper=$root/deploy/keycloak/mapper
archive=$CACHE/keycloak-quarkus-dist-$VERSION.zip

say() { printf '%s\n' "$*" >&2; }

has_server() { [ -f "$1/bin/kc.sh" ] && [ -f "$1/providers/$JAR" ]; }

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

# What decides whether a prepared folder is still the right one: the mapper, the version and this recipe.
fingerprint() {
    (cd "$mapper" && find . -type f | LC_ALL=C sort | while read -r file; do sha256 "$file"; done; echo "$SHA256 $RECIPE") |
        sha256 | cut -c 1-12
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

may_install() { [ "${TEST_INSTALL:-}" = 1 ] || { [ "$(id -u)" -eq 0 ] && [ "${TEST_INSTALL:-}" != 0 ]; }; }

# Sets JAVA_HOME to a JDK of 17 or newer: the mapper is compiled, so a bare runtime does not do.
find_java() {
    for folder in "${JAVA_HOME:-}" "$(on_path)" /usr/lib/jvm/*-17-* /usr/lib/jvm/*-21-* /usr/lib/jvm/*-25-* /usr/lib/jvm/* \
        /opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home /Library/Java/JavaVirtualMachines/*/Contents/Home; do
        if [ -x "$folder/bin/javac" ] && [ -x "$folder/bin/java" ] && [ "$(java_version "$folder")" -ge 17 ]; then
            JAVA_HOME=$folder
            export JAVA_HOME
            return 0
        fi
    done
    return 1
}

# The installation behind the `javac` on PATH, which is usually a link.
on_path() {
    javac=$(command -v javac) || return 0
    javac=$(readlink -f "$javac" 2>/dev/null || printf '%s' "$javac")
    printf '%s\n' "${javac%/bin/javac}"
}

java_version() {
    version=$("$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | sed -n 1p)
    printf '%s\n' "${version:-0}"
}

install_java() {
    say 'No JDK of 17 or newer found: installing one with the package manager.'
    if command -v apt-get >/dev/null; then
        as_root apt-get -q -o DPkg::Lock::Timeout=300 update >&2 || true
        for package in openjdk-17-jdk-headless openjdk-21-jdk-headless openjdk-25-jdk-headless default-jdk-headless; do
            install_with_apt "$package" && return
        done
        return 1
    elif command -v dnf >/dev/null; then
        as_root dnf install -y java-21-openjdk-devel || as_root dnf install -y java-latest-openjdk-devel
    elif command -v apk >/dev/null; then as_root apk add --no-cache openjdk21-jdk bash
    elif command -v brew >/dev/null; then brew install openjdk@21
    else say 'No package manager that this script knows (apt-get, dnf, apk, brew).'; return 1
    fi >&2
}

install_with_apt() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$1" >&2
}

is_intact() { [ -f "$1" ] && [ "$(sha256 "$1" | cut -d ' ' -f 1)" = "$SHA256" ]; }

# By Maven where there is one, since its settings know the mirrors and proxies of the place; else as a plain file.
download() {
    is_intact "$archive" && return
    part=$CACHE/download.$$
    rm -rf "$part"
    mkdir -p "$part"
    say "Downloading Keycloak $VERSION (177 MB) into $CACHE"
    file=$part/keycloak-quarkus-dist-$VERSION.zip
    path=org/keycloak/keycloak-quarkus-dist/$VERSION/keycloak-quarkus-dist-$VERSION.zip
    if command -v mvn >/dev/null; then
        mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
            "-Dartifact=org.keycloak:keycloak-quarkus-dist:$VERSION:zip" "-DoutputDirectory=$part" >&2 || true
    fi
    is_intact "$file" || fetch "$CENTRAL/$path" "$file" || { rm -rf "$part"; return 1; }
    if ! is_intact "$file"; then
        say "What came for $path has another checksum than $SHA256."
        rm -rf "$part"
        return 1
    fi
    mv -f "$file" "$archive"
    rm -rf "$part"
}

fetch() {
    if ! command -v curl >/dev/null && ! command -v wget >/dev/null && may_install && command -v apt-get >/dev/null; then
        install_with_apt curl && install_with_apt ca-certificates || true
    fi
    if command -v curl >/dev/null; then curl --fail --silent --show-error --location --retry 3 --connect-timeout 30 --speed-limit 1000 --speed-time 60 --output "$2" "$1" >&2
    elif command -v wget >/dev/null; then wget --quiet --output-document="$2" "$1" >&2
    else say 'Neither mvn nor curl nor wget is here to download with.'; return 1
    fi
}

# Compiles the mapper against the jars of the distribution $1 into the file $2.
compile_mapper() {
    classes=$1/mapper-classes
    rm -rf "$classes"
    mkdir -p "$classes"
    # Those of Keycloak lack annotations that only their own build needs; every other warning of ours is an error.
    "$JAVA_HOME/bin/javac" --release 17 -Xlint:all,-path,-classfile,-processing -Werror -d "$classes" \
        -cp "$1/lib/lib/main/*:$1/lib/lib/boot/*" "$mapper"/src/tenantregistry/*.java >&2 || return
    "$JAVA_HOME/bin/jar" --create --file "$2" -C "$classes" . -C "$mapper/resources" . || return
    rm -rf "$classes"
}

unpack() {
    rm -rf "$1"
    mkdir -p "$1"
    # The JDK unpacks as well as `unzip`, which may be missing; it only forgets which files are programs.
    (cd "$1" && "$JAVA_HOME/bin/jar" xf "$archive") || return
    chmod +x "$1/keycloak-$VERSION"/bin/*.sh
}

# The first start rearranges the server for its build options and providers, in half a minute; later ones find it done.
first_start() {
    log=$1/first-start.log
    : >"$log"
    (
        # Each of these would be an option, and the folder another one than the tests expect. Their own they hand on.
        for name in $(env | sed -n 's/^\(KC_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
        JAVA_OPTS_APPEND='-XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1' \
            exec "$1/bin/kc.sh" start-dev --db=dev-mem --http-port=0
    ) >"$log" 2>&1 </dev/null &
    server=$!
    trap 'kill "$server" 2>/dev/null || true; abandon; exit 130' HUP INT TERM
    rounds=0
    until grep -q "$READY" "$log"; do
        rounds=$((rounds + 1))
        if [ "$rounds" -ge 3600 ] || ! kill -0 "$server" 2>/dev/null; then
            say 'Keycloak does not start:'
            tail -n 30 "$log" >&2
            kill "$server" 2>/dev/null || true
            return 1
        fi
        sleep 0.25
    done
    kill "$server"
    wait "$server" || true
    rm -rf "$1/data" "$log"
    trap 'abandon; exit 130' HUP INT TERM
}

abandon() {
    rm -rf "$work" "$CACHE/download.$$"
    release
}

# Only one prepares, the others wait for it; a lock whose owner is gone is taken away.
acquire() {
    mkdir -p "$CACHE"
    until mkdir "$lock" 2>/dev/null; do
        owner=$(cat "$lock/owner" 2>/dev/null || true)
        if has_server "$home"; then return 1; fi
        if { [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; } || [ -n "$(find "$lock" -maxdepth 0 -mmin +30 2>/dev/null)" ]; then
            mv "$lock" "$lock.$$" 2>/dev/null && rm -rf "$lock.$$"
        else
            sleep 0.5
        fi
    done
    echo $$ >"$lock/owner"
}

release() { rm -rf "$lock"; }

# Folders of other mappers that nobody has used for two weeks.
clean_up() {
    for old in "$CACHE/$VERSION"-*; do
        [ "$old" != "$home" ] && [ -n "$(find "$old" -maxdepth 0 -mtime +14)" ] && rm -rf "$old"
    done
    return 0
}

prepare() {
    lock=$CACHE/lock
    work=$CACHE/preparing.$$
    acquire || return 0
    if has_server "$home"; then release; return; fi
    trap 'abandon; exit 130' HUP INT TERM
    fresh=$work/keycloak-$VERSION
    if ! { download && unpack "$work" && compile_mapper "$fresh" "$fresh/providers/$JAR" && say 'First start of Keycloak' &&
        first_start "$fresh" && mv "$fresh" "$home"; }; then
        abandon
        return 1
    fi
    clean_up
    abandon
    trap - HUP INT TERM
}

fail_without_java() {
    say 'The tests need a JDK of 17 or newer (Keycloak runs on it). Install one, set JAVA_HOME to it, or run once:'
    say '    TEST_INSTALL=1 scripts/ensure-keycloak.sh'
    exit 1
}

only_find='' only_mapper=''
case ${1:-} in
    --find) only_find=1; shift ;;
    --mapper) only_mapper=1; shift ;;
esac

if [ -n "${TEST_KEYCLOAK_HOME:-}" ] && ! has_server "$TEST_KEYCLOAK_HOME"; then
    say "TEST_KEYCLOAK_HOME: no bin/kc.sh, or no providers/$JAR (make keycloak-mapper), in $TEST_KEYCLOAK_HOME"
    exit 1
fi
home=${TEST_KEYCLOAK_HOME:-$CACHE/$VERSION-$(fingerprint)}
if [ -n "$only_find" ] && ! has_server "$home"; then
    say 'Keycloak is not prepared yet. Run this once: scripts/ensure-keycloak.sh'
    exit 1
fi
find_java || { [ -z "$only_find" ] && may_install && install_java && find_java; } || fail_without_java

if [ -n "$only_mapper" ]; then
    mkdir -p "$CACHE" "$root/bin"
    work=$CACHE/compiling.$$
    trap 'rm -rf "$work"' EXIT
    download && unpack "$work" && compile_mapper "$work/keycloak-$VERSION" "$root/bin/$JAR" || exit 1
    printf '%s\n' "$root/bin/$JAR"
    exit 0
fi
if ! has_server "$home" && ! prepare; then
    say "Keycloak $VERSION could not be prepared in $CACHE (TEST_KEYCLOAK_CACHE). Behind a proxy or mirror: Maven's settings"
    say "apply where mvn is installed; or put $archive there by hand;"
    say 'or set TEST_KEYCLOAK_HOME to a Keycloak with the mapper in its providers/; or leave this out: make test-short.'
    exit 1
fi
touch "$home" 2>/dev/null || true
if [ "$#" -eq 0 ]; then printf '%s\n' "$home"; exit 0; fi
TEST_KEYCLOAK_HOME=$home
export TEST_KEYCLOAK_HOME
exec "$@"
