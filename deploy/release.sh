#!/bin/sh
# Puts a release together: release.sh VERSION DIST OUT
# DIST holds what make cross, deb and sbom built. OUT gets an archive and a bill of materials for each
# platform, the packages, the chart, and SHA256SUMS. The same commit gives the same bytes, at any time and place.
set -eu
version=$1 dist=$2 out=$3
GO=${GO:-go}
here=$(cd "$(dirname "$0")" && pwd)
top=$here/..
max=26214400 # bytes of one binary
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
umask 022
fail() { echo "release: $*" >&2; exit 1; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)

# pack FOLDER FILE makes an archive whose bytes depend on names and contents only.
pack() {
	find "$tmp/$1" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
	case $2 in
	*.zip) (cd "$tmp" && find "$1" -type f | sort | zip -X -q -9 "$2" -@) ;;
	*) tar -C "$tmp" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$1" | gzip -9n > "$2" ;;
	esac
}

for p in $platforms; do
	os=${p%/*} arch=${p#*/}
	binary=$dist/freeway-$os-$arch
	size=$(wc -c < "$binary")
	[ "$size" -le "$max" ] || fail "$binary has $size bytes, at most $max are allowed"
	name=freeway_${version}_${os}_$arch
	mkdir -p "$tmp/$name"
	case $os in windows) program=freeway.exe ext=zip ;; *) program=freeway ext=tar.gz ;; esac
	install -m 0755 "$binary" "$tmp/$name/$program"
	install -m 0644 "$top/LICENSE" "$top/NOTICE" "$top/README.md" "$top/CHANGELOG.md" "$tmp/$name"
	"$here/licences.sh" "$arch" "$os" > "$tmp/$name/LIBRARIES"
	pack "$name" "$out/$name.$ext"
	install -m 0644 "$dist/freeway-$os-$arch.cdx.json" "$out/$name.cdx.json"
done
cp "$dist"/freeway_*.deb "$out"

# A chart's version is three numbers; between two tags it says which commit it is.
case $version in v[0-9]*.[0-9]*.[0-9]*) chart=${version#v} ;; *) chart=0.0.0-$version ;; esac
"$HELM" package "$here/helm/freeway" --version "$chart" --app-version "${version#v}" --destination "$tmp" >/dev/null
tar -C "$tmp" --warning=no-timestamp -xzf "$tmp/freeway-$chart.tgz"
pack freeway "$out/freeway-chart-$chart.tgz"

# What was packed is what was meant.
"$HELM" template check --kube-version 1.30.0 "$out/freeway-chart-$chart.tgz" >/dev/null
native=freeway_${version}_$($GO env GOHOSTOS)_$($GO env GOHOSTARCH)
case " $platforms " in *" $($GO env GOHOSTOS)/$($GO env GOHOSTARCH) "*)
	tar -C "$tmp" -xzf "$out/$native.tar.gz"
	"$tmp/$native/freeway" version | grep -qF "freeway $version " || fail "the program does not say that it is $version" ;;
esac

cd "$out"
find . -maxdepth 1 -type f ! -name SHA256SUMS | sed 's,^\./,,' | sort | xargs sha256sum > "$tmp/SHA256SUMS"
mv "$tmp/SHA256SUMS" .
sha256sum -c --quiet SHA256SUMS
cat SHA256SUMS
