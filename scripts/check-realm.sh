#!/bin/sh
# Says whether a realm file may be imported now: `scripts/check-realm.sh FILE` before Keycloak starts with it.
# An import puts the environment's values for ${NAME}. Where one is not set, the text ${NAME} itself is imported, and for
# a secret that means: anybody who has read the file knows it. Names in lower case are texts of Keycloak's own.
# Invariant: it prints names, never values.
set -eu

file=${1:?Say which file: scripts/check-realm.sh FILE}
[ -f "$file" ] && [ -r "$file" ] || { echo "$file cannot be read" >&2; exit 1; }
missing=''
# ${NAME:default} needs no value.
for name in $(grep -o '\${[A-Z][A-Z0-9_]*}' "$file" | tr -d '${}' | sort -u); do
    eval "value=\${$name:-}"
    [ -n "$value" ] || missing="$missing $name"
done
if [ -n "$missing" ]; then
    echo "$file must not be imported: not set or empty:$missing" >&2
    exit 1
fi
