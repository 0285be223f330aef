#!/bin/bash
# The attacks of foreign_identity.sh against the ways of older kernels, forced by caller_check: `procfs` (before Linux 6.13: no
# PIDFD_GET_INFO) and `legacy` (before 6.5: no SO_PEERPIDFD, senders by number). What the legacy way cannot see is refused.
here=$(dirname "$0")
rc=0
for way in procfs legacy; do
	CALLER_CHECK=$way bash "$here/foreign_identity.sh" >"${TMPDIR:-/tmp}/caller_check.$$" || rc=1
	sed -E "s/^(ok|FAIL|skipped) /\1 $way-/" "${TMPDIR:-/tmp}/caller_check.$$"
	rm -f "${TMPDIR:-/tmp}/caller_check.$$"
done
exit $rc
