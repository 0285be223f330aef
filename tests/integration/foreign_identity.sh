#!/bin/bash
# Processes that try to get an identity that is not theirs: PID reuse, passed descriptors, connect-then-exec, one user's
# two processes, joining a job's cgroup, forged claims. The tries are foreign_identity.py.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl setpriv
[ "$(id -u)" = 0 ] || { skip all "needs root: it makes processes of several users"; exit 0; }
scratch foreign
cat >policy.yaml <<'E'
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
  plain:
    purpose: test
    owner: tests
    max_job: 1h
    drain: 0s
    identities:
      - {path: "/{tenant}/plain/job/{job}", hint: job, x509_ttl: 20m}
    on_end: deny
rules:
  - {id: long, effect: permit, profile: long, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {all: [{contains: [attested.unix.uid, "4002"]}, {has: [attested.mayfly.run]}]}}
  - {id: plain, effect: permit, profile: plain, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "4001"]}}
E
pair_init
[ -z "${CALLER_CHECK:-}" ] || echo "caller_check: $CALLER_CHECK" >>agent.yaml
relay_up
broker_up
agent_up
for j in a b; do
	mkdir -m 777 $j
	(cd $j && exec setpriv --reuid=4002 --regid=4002 --clear-groups mayfly run --profile long -- sh -c '
		mayfly svid fetch >/dev/null && sed -n "s/^0:://p" /proc/self/cgroup >cgroup && echo "$MAYFLY_JOB" >job &&
		exec sleep 3600' </dev/null >log 2>&1) &
	runner=$!
	on_exit stop $runner
	poll 60 test -s $j/job || { fail "job-$j" "$(cat $j/log)"; finish; }
done
top=$(sed -n 's/.* \(\/[^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -1)
/usr/bin/python3 "$MAYFLY_TOP/tests/integration/foreign_identity.py" "$PWD/run/agent.sock" \
	"$(cat a/job)" "$top$(cat a/cgroup)" "$(cat b/job)" "$top$(cat b/cgroup)" \
	"$(role_pid agent-front)" "$(role_pid attestor)" "${CALLER_CHECK:-auto}" >tries.out 2>tries.err
rc=$?
cat tries.out
cat tries.err >&2
t_failed=$(grep -c '^FAIL' tries.out)
[ $rc -le 1 ] && [ $((rc > 0)) = $((t_failed > 0)) ] || fail tries "exit code $rc: $(tail -3 tries.err)"
says foreign-senders-are-logged 'caller.foreign_sender' cat agent.log
says doctor-prints-the-grade "grade $([ "${CALLER_CHECK:-}" = legacy ] && echo legacy || echo pidfd)" sh -c 'mayfly doctor; true'
# Nothing but what the jobs and the plain processes were due is on record.
mayfly audit find --type svid.issued -o json >issued.json
/usr/bin/python3 - issued.json "$(cat a/job)" "$(cat b/job)" >wrong.txt <<'P'
import re
import sys
text = open(sys.argv[1]).read()
for name in sorted(set(re.findall(r"spiffe://[^\"\\]*", text))):
    if "/mayfly/" not in name and "/node/" not in name and "/plain/" not in name and not name.endswith(("/" + sys.argv[2], "/" + sys.argv[3])):
        print(name)
P
[ -s issued.json ] && [ ! -s wrong.txt ] && ok nothing-else-was-issued || fail nothing-else-was-issued "$(cat wrong.txt)"
says log-verifies 'ok|good|verified' mayfly audit verify
# How strong the evidence was stands in every record of an issuance.
case ${CALLER_CHECK:-auto} in
legacy) grades=legacy ;;
*) grades='pidfd|pidfd\+cgroup' ;;
esac
wrong=$(json '[i["grade"] for i in d["items"] if i.get("lease")]' <issued.json | tr -d '[]" ' | tr ',' '\n' | grep -vxE "$grades" | sort -u)
[ -z "$wrong" ] && ok grade-in-each-record || fail grade-in-each-record "$wrong"
agent_down
broker_down
finish
