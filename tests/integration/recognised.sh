#!/bin/bash
# Which jobs are recognised, from outside: systemd's units (no systemd runs here: directories of cgroup2 made by hand, as
# systemd would), containers made by runc, also in a user namespace, plain cgroups, hostile names; and who only looks in: a
# terminal in a job, an exec session in a container.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
. "$MAYFLY_TOP/tests/lib/sh/runc.sh"
need openssl curl setpriv
[ "$(id -u)" = 0 ] || { skip all "needs root: it makes cgroups and processes of several users"; exit 0; }
top=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -1)
[ -n "$top" ] && [ -w "$top" ] || { skip all "no cgroup2 tree that can be written"; exit 0; }
scratch recognised
u=mf$$ # part of every name below: tests may run side by side
cid=$(printf '%064x' $$)
um=/user.slice/user-4002.slice/user@4002.service
profile() {	# NAME INTERACTIVE CONDITION
	cat >>profiles <<-E
	  $1:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    interactive: $2
	    identities:
	      - {path: "/{tenant}/$1/job/{job}", hint: job, x509_ttl: 20m}
	    on_end: deny
	E
	echo "  - {id: $1, effect: permit, profile: $1, owner: tests, review_by: 2099-01-01, nodes: any, when: $3}" >>rules
}
profile unit refuse "{contains: [attested.systemd.unit, \"$u.service\"]}"
profile userunit refuse "{contains: [attested.systemd.unit, \"user@4002.service/$u.service\"]}"
profile docker refuse "{contains: [attested.container.id, \"$cid\"]}"
profile runc refuse "{all: [{contains: [attested.container.id, \"$u-c1\"]}, {contains: [attested.container.runtime, runc]}, {contains: [attested.unix.uid, \"0\"]}, {not: {has: [attested.unix.userns]}}]}"
profile userns refuse "{all: [{contains: [attested.container.id, \"$u-c2\"]}, {contains: [attested.unix.userns, other]}, {contains: [attested.unix.uid, \"100000\"]}]}"
profile looks allow "{contains: [attested.container.id, \"$u-c3\"]}"
profile plain refuse "{contains: [attested.cgroup.path, \"/$u-plain\"]}"
profile slurm refuse "{contains: [attested.slurm.job_id, \"$$\"]}"
profile long refuse "{has: [attested.mayfly.run]}"
{ echo "mayfly_policy: 1"; echo "profiles:"; cat profiles; echo "rules:"; cat rules; } >policy.yaml
pair_init
relay_up
broker_up
agent_up
# here CGROUP UID: fetch from a process of that user in that cgroup, which is made and removed: what went empty is over
here() {
	local rc=0 p=$1
	mkdir -p "$top$1"
	sh -c 'echo $$ >"$1/cgroup.procs" && exec setpriv --reuid="$2" --regid="$2" --clear-groups /usr/bin/python3 "$3" "$4"' \
		- "$top$1" "$2" "$MAYFLY_TOP/tests/lib/sh/fetch_id.py" "$PWD/run/agent.sock" </dev/null || rc=$?
	while [ -n "$p" ] && rmdir "$top$p" 2>/dev/null; do p=${p%/*}; done
	return $rc
}

# --- systemd's units ---
says unit "/unit/job/" here "/system.slice/$u.service" 4002
says unit-whatever-is-below "/unit/job/" here "/system.slice/$u.service/docker/$cid" 4002
says user-unit "/userunit/job/" here "$um/app.slice/$u.service" 4002
says a-users-unit-is-not-roots "no identity issued" here "/user.slice/user-4003.slice/user@4003.service/app.slice/$u.service" 4003
says a-name-below-is-not-a-unit "no identity issued" here "/$u-other/system.slice/$u.service" 4002
says a-slice-is-nobodys "no identity issued" here "/$u.slice" 4002
# --- containers by path ---
says docker "/docker/job/" here "/docker/$cid" 4002
says docker-by-systemd "/docker/job/" here "/system.slice/docker-$cid.scope" 4002
says container-below-a-cgroup "no identity issued" here "/$u-other/docker/$cid" 4002
says rootless-is-its-owners "no identity issued" here "$um/user.slice/docker-$cid.scope" 4002
says container-below-a-session "no identity issued" here "/user.slice/user-4002.slice/session-7.scope/docker/$cid" 4002
# --- Slurm (none runs here: its directories made by hand) ---
step=/system.slice/slurmstepd.scope/job_$$/step_
says slurm "/slurm/job/" here "${step}0/user/task_0" 4002
says slurm-batch "/slurm/job/" here "${step}batch/user/task_special" 4002
says slurm-extern-is-refused "no identity issued" here "${step}extern/user/task_0" 4002
says slurm-extern-names-cause "came by ssh" mayfly audit find --type authz.denied -o json
says slurm-job-below-a-cgroup "no identity issued" here "/$u-other/slurmstepd.scope/job_$$/step_0/user" 4002
# --- plain ---
says plain "/plain/job/" here "/$u-plain" 4002
says plain-is-the-leaf "no identity issued" here "/$u-plain/below" 4002

# --- a terminal in a job's cgroup ---
cat >in_job.sh <<-S
fetch() { /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/fetch_id.py" "$PWD/run/agent.sock"; }
fetch >"$PWD/job.id"
/usr/bin/python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' sh -c 'mayfly whoami; mayfly svid fetch; echo rc=\$?' >"$PWD/job.tty" 2>&1
fetch >"$PWD/job.id2"
S
setsid mayfly run --profile long -- sh in_job.sh </dev/null >job.log 2>&1 || fail job "$(cat job.log)"
says job-without-a-terminal "/long/job/" cat job.id
says terminal-is-refused "no identity issued" cat job.tty
says terminal-names-cause "has a terminal" cat job.tty
says terminal-names-cure "interactive: allow" cat job.tty
says job-goes-on "/long/job/" cat job.id2
# A job that was started from a terminal has one in all of its processes.
/usr/bin/python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' mayfly run --profile long -- mayfly svid fetch >tty.log 2>&1 </dev/null
says started-from-a-terminal "has a terminal" cat tty.log
says refusal-is-recorded 'interactive callers, and this one has a terminal' mayfly audit find --type authz.denied -o json

# --- containers made by runc ---
if ! command -v runc >/dev/null; then
	skip runc "runc is not installed (deploy/deps.sh)"
elif ! runc_works; then
	skip runc "runc starts no container here: $(tail -1 runc.why)"
else
	keep=(/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/fetch_id.py" "$PWD/run/agent.sock")
	# What is daemonised inside (double fork, a session of its own) is the container.
	container "$u-c1" sh -c "${keep[*]} >/tmp/c1.id; (setsid sh -c '(${keep[*]} >/tmp/c1.late) &' &) ; exec sleep 3600"
	container_start "$u-c1" || fail runc-starts "$(cat "$u-c1.err")"
	poll 60 test -s "$u-c1/rootfs/tmp/c1.late"
	cp "$u-c1/rootfs/tmp/c1.id" "$u-c1/rootfs/tmp/c1.late" .
	says runc "/runc/job/" cat c1.id
	[ "$(json 'd["ids"]' <c1.id)" = "$(json 'd["ids"]' <c1.late)" ] && ok runc-daemon-is-the-container || fail runc-daemon-is-the-container "$(cat c1.late)"
	says exec-is-refused "no identity issued" runc exec "$u-c1" "${keep[@]}"
	says exec-with-a-terminal-is-refused "no identity issued" /usr/bin/python3 -c 'import pty, sys; pty.spawn(sys.argv[1:])' runc exec -t "$u-c1" "${keep[@]}"
	says exec-child-is-refused "no identity issued" runc exec "$u-c1" sh -c "sh -c '${keep[*]}; true'"
	says exec-in-a-namespace-of-its-own-is-refused "no identity issued" runc exec --cap CAP_SYS_ADMIN "$u-c1" unshare -pf "${keep[@]}"
	says exec-names-cause "was put into the container from outside" runc exec -e "SPIFFE_ENDPOINT_SOCKET=$SPIFFE_ENDPOINT_SOCKET" "$u-c1" sh -c "$MAYFLY_BIN/mayfly whoami 2>&1; true"
	job=$(json 'd["ids"][0].split("/")[-1]' <c1.id)
	says runc-is-open '"state": ?"open"' mayfly job show "$job" -o json
	runc kill "$u-c1" KILL
	over() { mayfly job show "$job" -o json | grep -qE '"state": ?"ended"'; }
	poll 60 over && ok runc-end-is-seen || fail runc-end-is-seen "$(mayfly job show "$job" -o json)"
	# A user namespace: the host's ids count, and the selector tells.
	CONTAINER_USERNS=1 container "$u-c2" "${keep[@]}" KEEP
	if container_start "$u-c2"; then
		poll 60 test -s "$u-c2.out"
		says userns "/userns/job/" cat "$u-c2.out"
	else
		skip userns "runc starts no container in a user namespace here: $(tail -1 "$u-c2.err")"
	fi
	# A profile that allows interactive callers serves an exec session.
	container "$u-c3" "${keep[@]}" KEEP
	container_start "$u-c3"
	poll 60 test -s "$u-c3.out"
	says exec-is-allowed "/looks/job/" runc exec "$u-c3" "${keep[@]}"
	# The same name without root's runc behind it is a plain cgroup.
	runc delete -f "$u-c3"
	says name-without-runc "no identity issued" here "/$u-c3" 0
fi
# --- an agent in a cgroup namespace of its own, which is shown "/../..": it knows less, and is never led astray ---
mkdir -p "$top/$u-agent" && on_exit rmdir "$top/$u-agent"
for way in auto procfs; do
	agent_down
	sed -i '/^caller_check:/d' agent.yaml
	echo "caller_check: $way" >>agent.yaml
	sh -c 'echo $$ >"$1/cgroup.procs" && exec unshare -C mayfly-agent run --config "$2"' - "$top/$u-agent" "$PWD/agent.yaml" >>agent.log 2>&1 </dev/null &
	echo $! >agent.pid
	poll 120 agent_ready || fail "namespace-$way" "$(tail -3 agent.log)"
	says "namespace-$way-run" "/long/job/" setsid -w mayfly run --profile long -- /usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/fetch_id.py" "$PWD/run/agent.sock" </dev/null
	says "namespace-$way-unit-is-not-seen" "no identity issued" here "/system.slice/$u.service" 4002
	# What is below the agent's own cgroup looks to it like the root's.
	mkdir -p "$top/docker/$cid"
	says "namespace-$way-decoy" "no identity issued" here "/$u-agent/docker/$cid" 4002
	rmdir "$top/docker/$cid" "$top/docker" 2>/dev/null
	says "namespace-$way-plain-decoy" "no identity issued" here "/$u-agent/$u-plain" 4002
done
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
