# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh, in a scratch directory: libmayfly installed under $PWD/root, and programs against it.
#
#   lib_install           install; exports PKG_CONFIG_PATH and LD_LIBRARY_PATH
#   lib_cc SOURCE OUT     compile with gcc against that copy
lib_install() {
	local c
	for c in lib dev; do
		DESTDIR=$PWD/root cmake --install "$MAYFLY_BUILD" --prefix /usr --component $c >>install.log 2>&1 || return 1
	done
	local so
	so=$(find root -name 'libmayfly.so.0')
	[ -n "$so" ] || return 1
	libdir=$PWD/$(dirname "$so")
	export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
}
lib_cc() {
	local pc=libmayfly
	grep -q 'mayfly/openssl.h' "$1" && pc=libmayfly-openssl
	# shellcheck disable=SC2046 # options
	gcc -O2 -Wall -Wextra "$1" -o "$2" $(pkg-config --cflags --libs $pc)
}
