#!/bin/bash
# The end of a job: from the kernel's event (its cgroup is empty, or the process is gone) to silence on the Workload API, and to lease.ended
# durable in the broker's log. Nothing is asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
[ "$(id -u)" = 0 ] || { skip all "needs root: it reads the log's files and jobs' cgroups"; exit 0; }
scratch ends
cat >policy.yaml <<E
mayfly_policy: 1
profiles:
  long:
    purpose: test
    owner: tests
    max_job: 1h
    drain: 0s
    identities:
      - {path: "/{tenant}/long/job/{job}", hint: job, x509_ttl: 20m}
    on_end: deny
rules:
  - {id: long, effect: permit, profile: long, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "0"]}}
E
pair_init
# /run is no disk on a real machine.
if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && mem=$(mktemp -d /dev/shm/mayfly-bench.XXXXXX); then
	chmod 755 "$mem"
	on_exit rm -rf "$mem"
	rmdir run && ln -s "$mem" run
fi
relay_up
broker_up
agent_up
for kind in run process; do
	/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/ends_bench.py" $kind "${MF_BENCH_RUNS:-200}" "$PWD/run/agent.sock" "$PWD/broker/log/wal" 2>ends.err &&
		ok "ends-$kind" || fail "ends-$kind" "$(tail -3 ends.err)"
done
agent_down
broker_down
finish
