#!/bin/bash
# 100,000 random policies and requests: Mayfly and Cedar's own engine decide alike, the forbid on unknown translated.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/policy_batch" ] || { skip all "policy_batch is not built (cmake --preset dev)"; exit 0; }
modules=$(node_modules "$MAYFLY_TOP/tests/interop/cedar") || { skip all "$(toolchain_why)"; exit 0; }
scratch cedar
ln -s "$modules" node_modules
cp "$MAYFLY_TOP/tests/interop/cedar/cedar.mjs" .
seed=${MF_CEDAR_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
if node cedar.mjs "$dev/tests/policy_batch" "${MF_CEDAR_PAIRS:-100000}" "$seed" >out 2>&1; then
	ok "agree: $(tail -1 out)"
else
	fail agree "seed $seed: $(cut -c1-4000 out | tail -40)"
fi
finish
