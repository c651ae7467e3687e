#!/bin/sh
# Prints the licences of all that is linked into the binary: licences.sh [ARCH [OS]]
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
echo "The Go standard library and runtime"
echo
cat "$($GO env GOROOT)/LICENSE"
GOOS=${2:-linux} GOARCH=${1:-amd64} CGO_ENABLED=0 $GO list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/freeway |
	LC_ALL=C sort -u | while read -r path version dir; do
	printf '\n\n%s %s\n\n' "$path" "$version"
	found=
	for f in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/COPYING* "$dir"/NOTICE*; do
		[ ! -f "$f" ] || { cat "$f"; found=1; }
	done
	[ -n "$found" ] || { echo "$path has no licence file" >&2; exit 1; }
done
for f in web/static/vendor/LICENSE*; do printf '\n\n%s\n\n' "$f"; cat "$f"; done
