#!/bin/sh
# Builds a release of HEAD twice, in two other folders and from nothing, and compares the bytes.
# TARGET is what make builds: release, or less, for example "cross PLATFORMS=linux/arm64".
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
target=${TARGET:-release}
commit=$(git -C "$top" rev-parse HEAD)
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT

# build FOLDER UMASK ZONE
build() {
	git clone -q --no-hardlinks --no-checkout "$top" "$1"
	git -C "$1" checkout -q --detach "$commit"
	# shellcheck disable=SC2086
	(cd "$1" && umask "$2" && TZ=$3 GOCACHE=$tmp/cache make $target && cd dist && find . -type f | LC_ALL=C sort | xargs sha256sum) > "$1.log" ||
		{ cat "$1.log" >&2; exit 1; }
	grep '^[0-9a-f]\{64\}  \./' "$1.log" > "$1.sums"
	rm -rf "$tmp/cache"
}

build "$tmp/a" 022 UTC
build "$tmp/another/folder" 027 Asia/Tokyo
if ! diff "$tmp/a.sums" "$tmp/another/folder.sums"; then
	echo "reproducible: the same source gave other bytes" >&2
	exit 1
fi
echo "reproducible: $(wc -l < "$tmp/a.sums") files are the same"
