#!/bin/sh
# Build the Debian packages: mayfly, mayfly-broker, mayfly-agent, libmayfly0, libmayfly-dev.
#
#   deploy/deb/build.sh [--from BUILD] [--version V] [--out DIR]
#
#   --from BUILD   package the programs of this build tree (preset release), instead of compiling
#   --version V    of the packages; default: that of deploy/deb/debian/changelog
#   --out DIR      where they are put; default: build/deb
#
# Needs debhelper (deploy/deps.sh --list test). Works on a copy: the sources get no debian/ folder. The times in the packages
# are those of the last commit, so that the same sources give the same packages.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
from='' version='' out=$top/build/deb
while [ $# -gt 0 ]; do
	case $1 in
	--from) from=$(cd "$2" && pwd) && shift 2 ;;
	--version) version=$2 && shift 2 ;;
	--out) out=$2 && shift 2 ;;
	-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "build.sh: unknown argument '$1' (see the head of this file)" >&2; exit 2 ;;
	esac
done
command -v dh >/dev/null || { echo "build.sh: debhelper is not installed: apt-get install debhelper" >&2; exit 1; }
if [ -n "$from" ] && [ ! -x "$from/bin/mayfly" ]; then
	echo "build.sh: there are no programs in $from: deploy/quickstart.sh build" >&2
	exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/mayfly-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
src=$work/mayfly
mkdir "$src"
(cd "$top" && tar -c --exclude=./.git --exclude='./build*' --exclude=./tests .) | tar -x -C "$src"
cp -r "$top/deploy/deb/debian" "$src/debian"
for p in broker agent; do
	cp "$top/deploy/systemd/mayfly-$p.service" "$top/deploy/systemd/mayfly-$p.sysusers" "$src/debian/"
	cp "$top/deploy/systemd/mayfly.tmpfiles" "$src/debian/mayfly-$p.tmpfiles"
done
cp "$top/deploy/systemd/mayfly-jobs.service" "$src/debian/mayfly-agent.mayfly-jobs.service"
SOURCE_DATE_EPOCH=$(git -C "$top" log -1 --format=%ct 2>/dev/null || date -r "$top/CHANGELOG.md" +%s)
MF_REVISION=$(git -C "$top" describe --always --dirty --abbrev=12 --match no-tags-wanted 2>/dev/null || true)
export SOURCE_DATE_EPOCH MF_REVISION MF_BUILD="$from"
if [ -n "$version" ]; then
	{
		printf 'mayfly (%s) unstable; urgency=medium\n\n  * Built from %s.\n\n' "$version" "${MF_REVISION:-the sources}"
		printf ' -- The Mayfly authors <mayfly@localhost>  %s\n\n' "$(LC_ALL=C date -R -u -d "@$SOURCE_DATE_EPOCH")"
		cat "$top/deploy/deb/debian/changelog"
	} >"$src/debian/changelog"
fi
# -d: what a build needs is deploy/deps.sh's to say, where nothing is compiled most of it is not needed.
if ! (cd "$src" && dpkg-buildpackage -us -uc -b ${from:+-d}) >"$work/log" 2>&1; then
	tail -30 "$work/log" >&2
	cp "$work/log" "$out/build.log"
	echo "build.sh: dpkg-buildpackage failed; the whole output: $out/build.log" >&2
	exit 1
fi
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out/"
for f in "$out"/*"_${version:-$(dpkg-parsechangelog -l "$src/debian/changelog" -S Version)}"_*.deb; do
	echo "$f"
done
