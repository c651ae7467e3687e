#!/bin/sh
# Looks at the packages in a folder: check.sh FOLDER
# lintian, then the package of this machine is installed into a root of its own, run, and purged.
set -eu
dist=$1
debs=$(ls "$dist"/freeway_*.deb)
# shellcheck disable=SC2086
lintian --fail-on error,warning $debs
[ "$(id -u)" = 0 ] || { echo "installing needs root" >&2; exit 1; }

arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/etc"
: > "$root/var/lib/dpkg/status"
: > "$root/etc/passwd"
: > "$root/etc/group"
pkg() { dpkg --root="$root" --force-script-chrootless --force-depends "$@"; }
say() { echo "deb-check: $*"; }
fail() { echo "deb-check: $*" >&2; exit 1; }

pkg -i "$dist"/freeway_*_"$arch".deb
[ "$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${db:Status-Status}' freeway)" = installed ] || fail "not installed"
grep -q '^freeway:' "$root/etc/passwd" || fail "the user freeway was not made"
[ "$(stat -c %a "$root/var/lib/freeway")" = 700 ] || fail "/var/lib/freeway is not private"
"$root/usr/bin/freeway" version
FREEWAY_STORE_PATH=$root/var/lib/freeway/freeway.db "$root/usr/bin/freeway" config check --config "$root/etc/freeway/freeway.yaml"
"$root/usr/bin/freeway" config show --config "$root/etc/freeway/freeway.yaml" | grep -q 'listen: 0\.0\.0\.0' && fail "it would listen on 0.0.0.0"
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/freeway.service" ] || fail "the service was enabled"
say "installed"

echo "# mine" >> "$root/etc/freeway/freeway.yaml"
: > "$root/var/lib/freeway/freeway.db"
pkg -i "$dist"/freeway_*_"$arch".deb
grep -q '^# mine' "$root/etc/freeway/freeway.yaml" || fail "an upgrade wrote over the configuration"
pkg -r freeway
[ ! -e "$root/usr/bin/freeway" ] || fail "the program is left"
[ -e "$root/etc/freeway/freeway.yaml" ] && [ -e "$root/var/lib/freeway/freeway.db" ] || fail "removing took configuration or data"
pkg -P freeway
left=$(find "$root" -name '*freeway*' ! -path "$root/var/lib/dpkg/*")
[ -z "$left" ] || fail "purging left $left"
say "purged"
