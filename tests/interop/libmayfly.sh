#!/bin/bash
# libmayfly against go-spiffe: mutual TLS both ways, over renewals of both sides, in jobs of `mayfly dev`.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/mtls_pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/libmayfly.sh"
need cmake pkg-config gcc
scratch libmayfly-interop
lib_install || { fail install "$(cat install.log)"; finish; }
check build lib_cc "$MAYFLY_TOP/tests/interop/c/mfc.c" mfc
check build-fetch lib_cc "$MAYFLY_TOP/examples/fetch_svid.c" fetch_svid
dev_policy policy.yaml
dev_start --policy policy.yaml
td=$(run_job alpha ./fetch_svid | sed 's/^id=\([^ ]*\)\/alpha .*/\1/')
says bundles "^${td#spiffe://}\$" run_job long ./mfc bundles
pair mtls-c-c "$PWD/mfc" "$PWD/mfc"
if go=$(go_program "$MAYFLY_TOP/tests/interop/go" mfinterop); then
	pair mtls-c-go "$PWD/mfc" "$go"
	pair mtls-go-c "$go" "$PWD/mfc"
else
	skip mtls-c-go "$(toolchain_why)"
	skip mtls-go-c "$(toolchain_why)"
fi
dev_stop
finish
