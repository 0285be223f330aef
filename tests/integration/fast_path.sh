#!/bin/bash
# A known instance's cached fetch costs no look at /proc, no question to the attestor and nothing at the broker: strace on the
# attestor, the front's counters, the log. On a connection that is open, on new ones of a known process, and, where the instance
# tolerates whoever is in its cgroup, of processes that were never seen.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl strace
[ "$(id -u)" = 0 ] || { skip all "needs root: it traces the agent's roles"; exit 0; }
scratch fast
dev_policy policy.yaml
cat >>policy.yaml <<'E'
  - {id: shell, effect: permit, profile: shell, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {has: [attested.interactive]}}
E
sed -i 's/^rules:/  shell:\n    purpose: test\n    owner: tests\n    max_job: 1h\n    drain: 0s\n    interactive: allow\n    identities:\n      - {path: "\/{tenant}\/shell\/job\/{job}", hint: job, x509_ttl: 20m}\n    on_end: deny\nrules:/' policy.yaml
pair_init heartbeat 60s
relay_up
broker_up
agent_up
metric() { curl -sf "http://127.0.0.1:$P_MA/metrics" | sed -n "s/^mayfly_agent_$1_total //p"; }
# look NAME FILE: what FILE (one line per fetch) got, and what the roles did meanwhile. The job waits for ./go, writes ./done and
# lives until ./go is gone. (The next heartbeat is a minute away.)
look() {
	local name=$1 asked records
	poll 60 test -s ready || { fail "$name" "$(cat run.log)"; return; }
	asked=$(metric who_is) records=$(records svid.issued)
	strace -f -qq -e trace=%file,recvmsg,sendmsg,pidfd_open,ioctl -o attestor.trace -p "$(role_pid attestor)" & local tracer=$!
	strace -f -qq -e trace=%file -o front.trace -p "$(role_pid agent-front)" & local tracer2=$!
	poll 60 grep -q TracerPid:.*[1-9] "/proc/$(role_pid attestor)/status"
	poll 60 grep -q TracerPid:.*[1-9] "/proc/$(role_pid agent-front)/status"
	touch go
	poll 60 test -e "done"
	kill -INT $tracer $tracer2; wait $tracer $tracer2 2>/dev/null
	[ "$(sort -u "$2" | wc -l)" = 1 ] && [ "$(wc -l <"$2")" -ge 20 ] && grep -q "spiffe://" "$2" && ok "$name-same-identity" || fail "$name-same-identity" "$(sort "$2" | uniq -c)"
	[ "$(metric who_is)" = "$asked" ] && ok "$name-no-question" || fail "$name-no-question" "$asked, then $(metric who_is)"
	[ "$(metric sender_is)" = 0 ] && ok "$name-no-sender-question" || fail "$name-no-sender-question" "$(metric sender_is)"
	[ ! -s attestor.trace ] && ok "$name-attestor-does-nothing" || fail "$name-attestor-does-nothing" "$(head -5 attestor.trace)"
	! grep -v "AT_EMPTY_PATH" front.trace | grep -q . && ok "$name-front-opens-nothing" || fail "$name-front-opens-nothing" "$(grep -v AT_EMPTY_PATH front.trace | head -3)"
	[ "$(records svid.issued)" = "$records" ] && ok "$name-no-record" || fail "$name-no-record" "$records"
	rm -f ready "done" go
}
cat >client.py <<'P'
import os, sys, time
sys.path.insert(0, sys.argv[1])
import jobcall
sock, how = sys.argv[2:4]
def say(name, what):
    open(name + ".tmp", "w").write(what)
    os.rename(name + ".tmp", name)
def wait():
    say("ready", "here")
    while not os.path.exists("go"):
        time.sleep(0.02)
out = []
if how == "new":
    jobcall.fetch(sock)
    wait()
    for _ in range(50):
        out += jobcall.fetch(sock)["ids"]
elif how == "warm":
    s = jobcall.connect(sock)
    s.sendall(jobcall.opening())
    r = jobcall.Reader(s)
    def one(stream):
        s.sendall(jobcall.request(jobcall.X509, stream=stream))
        ids = r.answer(stream=stream)["ids"]
        s.sendall(jobcall.frame(3, 0, stream, b"\0\0\0\x08"))
        return ids
    one(1)
    wait()
    for k in range(50):
        out += one(3 + 2 * k)
else:  # each fetch by a process of its own
    jobcall.fetch(sock)
    wait()
    for _ in range(20):
        r, w = os.pipe()
        if os.fork() == 0:
            os.write(w, "".join(jobcall.fetch(sock)["ids"]).encode())
            os._exit(0)
        os.wait()
        out.append(os.read(r, 4096).decode())
say("got", "\n".join(out) + "\n")
say("done", "")
while os.path.exists("go"):  # its end is not what is looked at
    time.sleep(0.02)
P
job() { "$@" /usr/bin/python3 client.py "$MAYFLY_TOP/tests/lib/sh" "$PWD/run/agent.sock" "$how" </dev/null >run.log 2>&1 & on_exit stop $!; }
for how in new warm; do
	job setsid mayfly run --profile long --
	look $how got
done
# An instance that began at a terminal has no other kind of member: its cgroup is enough.
how=forked
job /usr/bin/python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' mayfly run --profile shell --
look forked got
[ "$(metric callers_recognised)" -ge 70 ] && ok recognised-is-counted || fail recognised-is-counted "$(metric callers_recognised)"
agent_down
broker_down
finish
