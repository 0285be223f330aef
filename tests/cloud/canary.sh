#!/bin/bash
# The secrets of a cloud token (secret key and session token, the job's secret for its endpoint, the broker's assertion) are nowhere but where
# they must be: not in what is written (log, tables, all state, the daemons' lines, what commands say), not in the arguments or the environment of
# any process, not in a core, and the broker's front never reads or writes them in clear: all its calls are looked at while it
# carries them. Each search is shown to find what is there. The access key's id is no secret: it is on record, to find the job by.
# About 35 s.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
need strace
rgw_here
scratch canary
mkdir said
lab_up
canary() { /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/canary.py" "$@"; }
role() { pgrep -P "$(pgrep -P "$dev_pid" -x "mayfly-${2:-broker}")" -x "$1"; }
/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/canary.py" watch "$PWD/processes" $$ &
watcher=$!
on_exit stop $watcher

# --- each role's calls, from before the first token on ---
traced=() tracers=()
trace() {	# ROLE PROGRAM
	local pid
	pid=$(role "$1" "$2")
	strace -f -xx -s 65536 -e trace=read,write,readv,writev,pread64,pwrite64,sendto,sendmsg,sendmmsg,recvfrom,recvmsg,recvmmsg \
	    -o "trace.$1" -p "$pid" 2>"strace.$1" </dev/null &
	tracers+=($!)
	on_exit stop $!
	poll 60 test -s "strace.$1" && grep -q attached "strace.$1" && traced+=("$1")
}
if trace broker-front broker && trace courier broker; then :; else skip front "no process can be traced here: $(cat strace.*)"; fi

# --- a job with a token, written down by itself ---
lab_manifest holder
cat >job.sh <<'E'
# PYTHON SCRIPT RUN
cp "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" endpoint.secret
"$1" "$2" data sets/imgs/1 "runs/$3/x" runs/other/ckpt copy.creds >said/job 2>&1
mayfly token ls >said/token-ls 2>&1; mayfly whoami -o json >said/whoami 2>&1
mayfly token get data >said/not-a-bearer 2>&1
echo "$MAYFLY_JOB" >job.tmp; mv job.tmp job
until [ -e leave ]; do sleep 0.1; done
E
lab_run holder sh "$PWD/job.sh" "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/job.py" RUN >said/run 2>&1 &
run=$!
poll 120 test -s job || { fail job "$(cat said/*)"; finish; }
# What goes wrong has words, too: another job asks while the store is away.
rgw_off
lab_manifest away
refuses store-away lab_run away sh -c 'mayfly token get data -o env --timeout 5s >said/away 2>&1'
rgw_on
/usr/bin/python3 - <<'E'
import json, re
with open("copy.creds") as f:
    c = json.load(f)
values = {"secret key": c["SecretAccessKey"], "session token": c["Token"]}
with open("endpoint.secret") as f:
    values["endpoint secret"] = f.read()
try:    # what the courier got and sent, if it could be watched: an assertion for each attempt
    with open("trace.courier", "rb") as f:
        said = [bytes.fromhex(t.replace(rb"\x", b"").decode()) for t in re.findall(rb'"((?:\\x[0-9a-f]{2})+)"', f.read())]
    sent = [m.group(1) for m in (re.search(rb"WebIdentityToken=([^&\s]+)", s) for s in said) if m][0]
    like_it = rb"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{%d}" % len(sent.rpartition(b".")[2])
    for n, one in enumerate(sorted({m for s in said for m in re.findall(like_it, s)})):
        values["assertion %d" % n] = one.decode()
except OSError:
    pass
with open("values.json", "w") as f:
    json.dump(values, f)
E
refuses finds-them-in-a-file canary files values.json copy.creds
refuses finds-the-endpoint-secret canary files values.json endpoint.secret
base64 -w 60 copy.creds >copy.base64
refuses finds-base64 canary files values.json copy.base64
od -An -tx1 copy.creds | tr -d ' \n' >copy.hex
refuses finds-hex canary files values.json copy.hex
rm copy.base64 copy.hex
if [ ${#traced[@]} = 2 ]; then
	says finds-the-token-at-the-courier 'session token' sh -c '! "$@"' - /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/canary.py" trace values.json trace.courier
	says an-assertion-for-each-attempt 'assertion 1' cat values.json
	says finds-the-assertion-at-the-courier assertion sh -c '! "$@"' - /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/canary.py" trace values.json trace.courier
fi

# --- memory while the job lives: the agent has it, the broker's front never had ---
canary memory values.json "$(role broker-front)" >/dev/null 2>memory.err	# finding nothing or something: can it be read?
if [ ! -s memory.err ]; then
	says agent-holds-it 'agent-front: session token' sh -c '! "$@"' - /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/canary.py" memory values.json "$(role agent-front agent)"
	check front-never-had-it canary memory values.json "$(role broker-front)" "$(role publisher)"
else
	skip memory "it cannot be read here: $(tail -1 memory.err)"
fi

# --- no core by the limit; no look by who is not root ---
for r in "notary broker" "broker-front broker" "courier broker" "attestor agent" "agent-front agent"; do
	# shellcheck disable=SC2086 # two words
	pid=$(role $r)
	says "core-limit-${r% *}" 'core file size +0 +0' cat "/proc/$pid/limits"
	# The files of a process that must not be dumped are root's, whoever it runs as; only who may trace it reads them.
	uid=$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")
	if [ "$(id -u)" = 0 ] && [ "$uid" != 0 ]; then
		refuses "no-look-at-${r% *}" setpriv --reuid "$uid" --regid "$(id -g)" --clear-groups --inh-caps=-all --bounding-set=-all \
		    head -c 1 "/proc/$pid/environ"
	elif [ "$(id -u)" != 0 ]; then
		refuses "no-look-at-${r% *}" head -c 1 "/proc/$pid/environ"
	fi
done
for t in "${tracers[@]}"; do stop "$t"; done

# --- the end: nobody has them in memory any more, and nothing says them ---
: >leave
wait $run || fail run "$(cat said/run)"
denied() { lab_creds copy.creds | grep -q '^403'; }
poll 60 denied || fail denied "$(lab_creds copy.creds)"
if [ ! -s memory.err ]; then
	# The endpoint's secret is no secret any more: the front keeps it to tell the job's own processes why they are refused.
	json '{n: v for n, v in d.items() if n != "endpoint secret"}' <values.json >secret-after.json
	forgotten() { canary memory secret-after.json "$(role notary)" "$(role broker-front)" "$(role courier)" "$(role attestor agent)" "$(role agent-front agent)"; }
	poll 60 forgotten && ok forgotten-at-the-end || fail forgotten-at-the-end "$(forgotten)"
fi

# --- and a crash leaves none, even where no limit on cores says so ---
crash() {	# ROLE PROGRAM: it dies as by a defect, with no limit on cores; says how
	local pid
	pid=$(role "$1" "$2")
	prlimit --pid "$pid" --core=unlimited 2>/dev/null
	strace -o "crash.$1" -e trace=none -p "$pid" 2>"crash.$1.err" </dev/null &
	poll 60 grep -q attached "crash.$1.err" || return
	kill -SEGV "$pid"
	poll 60 grep -q '^+++' "crash.$1"
}
dumps() { (ulimit -c unlimited; strace -o control -e trace=none sh -c 'kill -SEGV $$'; :) >/dev/null 2>&1; rm -f core core.*; grep -q 'core dumped' control; }
back() { p=$(role "$1" "$2") && [ "$p" != "$3" ]; }
if [ ${#traced[@]} != 2 ]; then
	skip cores 'no process can be traced here'
elif [ "$(cat /proc/sys/kernel/core_pattern)" != core ]; then
	skip cores "cores go elsewhere on this machine: $(cut -c1-40 /proc/sys/kernel/core_pattern)"
elif ! dumps; then
	skip cores 'nothing dumps core here'
else
	for r in "courier broker" "broker-front broker" "agent-front agent"; do
		# shellcheck disable=SC2086 # two words
		pid=$(role $r)
		# shellcheck disable=SC2086
		crash $r
		says "no-core-of-${r% *}" '^\+\+\+ killed by SIGSEGV \+\+\+$' cat "crash.${r% *}"
		# shellcheck disable=SC2086
		poll 60 back $r "$pid" || fail "back-${r% *}" "$(tail -3 dev.log)"
	done
	cores=$(find . /proc/"$dev_pid"/cwd/ -name 'core*' -type f 2>/dev/null)
	[ -z "$cores" ] && ok no-core-anywhere || fail no-core-anywhere "$cores"
fi

for v in "job ls --all" "node ls" "credential ls --all" "key ls" status "audit tail -n all" doctor "job show $(cat job)"; do
	# shellcheck disable=SC2086 # words
	mayfly $v >>said/verbs 2>&1
	# shellcheck disable=SC2086
	mayfly $v -o json >>said/verbs 2>&1
done
stop $watcher
dev_stop
if [ ${#traced[@]} = 2 ]; then check front-in-clear canary trace values.json trace.broker-front; fi
check log-tables-and-state canary files values.json state
check lines-of-the-daemons canary files values.json dev.log dev.out
check what-commands-say canary files values.json said
check arguments-and-environments canary files values.json processes
says saw-the-processes '[1-9]' grep -lra AWS_CONTAINER_CREDENTIALS_FULL_URI processes
says key-id-is-on-record "$(json 'd["AccessKeyId"]' <copy.creds)" cat said/verbs
finish
