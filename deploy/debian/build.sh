#!/bin/sh
# Builds one Debian package: build.sh ARCH VERSION BINARY NATIVE OUT
# VERSION is what git describe says; NATIVE is a binary that runs here and prints manual pages and completions.
set -eu
arch=$1 version=$2 binary=$3 native=$4 out=$5
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
umask 022

# v1.2.3 is 1.2.3, v1.2.3-4-gabc is 1.2.3+4.gabc, a bare abc is 0~20260102.abc.
case $version in
v[0-9]*) deb=$(printf %s "${version#v}" | sed 's/-/+/; s/-/./g') ;;
*) deb="0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$(printf %s "$version" | tr -c 'A-Za-z0-9.+~' .)" ;;
esac
deb=$deb-1

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root # mktemp's own folder is closed to others, and "/" of the package must not be
install -d -m 0755 "$root"
doc=$root/usr/share/doc/freeway
install -D -m 0755 "$binary" "$root/usr/bin/freeway"
install -D -m 0644 "$here/freeway.yaml" "$root/etc/freeway/freeway.yaml"
for unit in "$top"/deploy/systemd/*.service "$top"/deploy/systemd/*.socket; do
	[ ! -e "$unit" ] || install -D -m 0644 "$unit" "$root/usr/lib/systemd/system/$(basename "$unit")"
done
install -D -m 0644 "$top/deploy/systemd/freeway.sysusers" "$root/usr/lib/sysusers.d/freeway.conf"
install -D -m 0644 "$top/deploy/systemd/freeway.tmpfiles" "$root/usr/lib/tmpfiles.d/freeway.conf"
install -D -m 0644 "$here/lintian-overrides" "$root/usr/share/lintian/overrides/freeway"
install -D -m 0644 "$here/copyright" "$doc/copyright"
install -D -m 0644 "$top/deploy/grafana/freeway.json" "$doc/examples/grafana.json"
install -D -m 0644 "$top/deploy/prometheus/freeway.rules.yml" "$doc/examples/freeway.rules.yml"
gzip -9nc "$top/CHANGELOG.md" > "$doc/changelog.gz"
"$here/../licences.sh" "$arch" | gzip -9nc > "$doc/LIBRARIES.gz"
maintainer=${DEB_MAINTAINER:-Freeway authors <freeway@packages.invalid>}
printf 'freeway (%s) unstable; urgency=medium\n\n  * Freeway %s; what is new is in changelog.gz.\n\n -- %s  %s\n' \
	"$deb" "$version" "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9nc > "$doc/changelog.Debian.gz"

install -d -m 0755 "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" \
	"$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$native" man --quiet --dir "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
"$native" completion bash > "$root/usr/share/bash-completion/completions/freeway"
"$native" completion zsh > "$root/usr/share/zsh/vendor-completions/_freeway"
"$native" completion fish > "$root/usr/share/fish/vendor_completions.d/freeway.fish"

install -d -m 0755 "$root/DEBIAN"
install -m 0755 "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN"
echo /etc/freeway/freeway.yaml > "$root/DEBIAN/conffiles"
cat > "$root/DEBIAN/control" <<EOF
Package: freeway
Version: $deb
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$root/usr" "$root/etc" | awk '{s += $1} END {print s}')
Depends: systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles
Recommends: ca-certificates
Suggests: prometheus
Section: net
Priority: optional
Description: one dependable proxy out of public proxy lists
 Freeway reads public lists of free proxies, checks and scores every entry, and
 serves a gateway for HTTP, CONNECT, SOCKS4 and SOCKS5 that rotates each request
 over the proxies that work and tries another one when one fails.
 .
 The service is not started by the installation, and listens on loopback only
 unless told otherwise.
EOF
(cd "$root" && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/freeway_${deb}_$arch.deb"
