#!/bin/bash
# What a machine may do to the daemons as they run: descriptors run out at either front, the disk under log and read model hangs, and it is
# full. Nobody dies of it, what is served is served on, a removal takes effect (and is recorded where there is a reserve for it),
# what is issued is on record; and all is back by itself, also after kill -9. (EIO and each failing call: tests/fault; slow disks and
# power cuts: tests/sim; files that were altered: bad_input.sh.)
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl prlimit
[ "$(id -u)" = 0 ] || { skip all "needs root: it mounts a disk"; exit 0; }
scratch faults
# A disk of its own for the broker, that can be frozen.
unmount() { umount "$PWD/broker" 2>/dev/null || umount -l "$PWD/broker"; }
thaw() { fsfreeze -u "$PWD/broker" 2>/dev/null; }
disk=
mkdir broker
if truncate -s 400M disk && mkfs.ext4 -q -F disk 2>mkfs.err && mount -o loop disk broker 2>>mkfs.err; then
	disk=1
	on_exit unmount
	rmdir broker/lost+found
	chmod 755 broker
fi
DEV_TTL=12s pair_init
relay_up
# Few descriptors for all of them (a role takes the most that its table and its supervisor allow).
mayfly-broker() { exec prlimit --nofile=64:64 "$MAYFLY_BIN/mayfly-broker" "$@"; }
mayfly-agent() { exec prlimit --nofile=64:64 "$MAYFLY_BIN/mayfly-agent" "$@"; }
broker_up
agent_up
ids() { grep -c '^id ' "$1" 2>/dev/null || true; }
more_ids() { [ "$(ids "$1")" -gt "$2" ]; }
watch() { # NAME: a job that watches its identity; NAME.log, NAME.job
	mayfly run --profile short -- sh -c "echo \"\$MAYFLY_JOB\" >$1.job; exec /usr/bin/python3 $MAYFLY_TOP/tests/lib/sh/watch_id.py $PWD/run/agent.sock" \
		>"$1.log" 2>&1 </dev/null &
	on_exit stop $!
	poll 60 more_ids "$1.log" 0
}
fetches() { timeout 60 mayfly run --profile short -- mayfly svid fetch >fetch.log 2>&1 </dev/null; }
hold() { # HOST:PORT or PATH: 100 connections, until the file `let-go` is there
	rm -f let-go
	/usr/bin/python3 - "$1" >hold.out 2>&1 </dev/null <<'P' &
import os, socket, sys, time
at, held = sys.argv[1], []
for _ in range(100):
    s = socket.socket(socket.AF_UNIX if at[0] == "/" else socket.AF_INET)
    s.settimeout(30)
    try:
        s.connect(at if at[0] == "/" else ("127.0.0.1", int(at.split(":")[1])))
        held.append(s)
    except OSError:
        pass
print("ready %d" % len(held), flush=True)
while not os.path.exists("let-go"):
    time.sleep(0.05)
P
	holder=$!
	on_exit stop $holder
	poll 60 grep -q ready hold.out
}
let_go() { touch let-go; poll 60 gone "$holder"; }
pauses() { curl -s "http://127.0.0.1:$1/metrics" | awk '/_net_accept_pauses_total/ { n += $2 } END { print n + 0 }'; }
paused() { [ "$(pauses "$1")" -gt "$2" ]; }
watch steady && ok watcher || fail watcher "$(cat steady.log)"

# --- descriptors ---
for role in agent-front broker-front; do
	pid=$(role_pid $role) metrics=$P_MA at=$PWD/run/agent.sock
	[ $role = agent-front ] || metrics=$P_MB at=127.0.0.1:$P_LISTEN
	before=$(pauses "$metrics")
	# Its page needs a descriptor too: it is asked for when they are back.
	hold "$at" && ok "$role-out-of-descriptors" || fail "$role-out-of-descriptors" "$(cat hold.out)"
	n=$(ids steady.log)
	poll 60 more_ids steady.log "$n" && ok "$role-serves-on" || fail "$role-serves-on" "$(tail -2 steady.log)"
	let_go
	poll 60 paused "$metrics" "$before" && ok "$role-paused" || fail "$role-paused" "$(pauses "$metrics")"
	poll 60 fetches && ok "$role-serves-new-ones" || fail "$role-serves-new-ones" "$(cat fetch.log)"
	[ "$(role_pid $role)" = "$pid" ] && ok "$role-lives" || fail "$role-lives" "another one runs"
done
! grep -q '^end ' steady.log && ok nobody-was-interrupted || fail nobody-was-interrupted "$(grep '^end' steady.log)"

# --- a disk that hangs ---
if [ -z "$disk" ]; then
	skip disk-that-hangs "no disk can be mounted here: $(tail -1 mkfs.err)"
else
	watch doomed && ok doomed || fail doomed "$(cat doomed.log)"
	size=$(records svid.issued)
	on_exit thaw
	fsfreeze -f broker
	rc=0
	timeout 120 mayfly revoke --job "$(cat doomed.job)" --reason "the disk hangs" >revoke.log 2>&1 || rc=$?
	[ $rc = 3 ] && ok effective-and-not-recorded || fail effective-and-not-recorded "exit code $rc: $(cat revoke.log)"
	poll 60 grep -q '^end 7' doomed.log && ok the-job-has-lost-it || fail the-job-has-lost-it "$(tail -2 doomed.log)"
	# Asked for, and not answered: the record is not on the disk.
	timeout 5 mayfly run --profile long -- mayfly svid fetch >hung.log 2>&1 </dev/null && fail nothing-is-issued "$(cat hung.log)" || ok nothing-is-issued
	fsfreeze -u broker
	poll 60 fetches && ok issues-again || fail issues-again "$(cat fetch.log)"
	says the-end-is-recorded '"ended"' mayfly job show "$(cat doomed.job)" -o json
	[ "$(records svid.issued)" -gt "$size" ] && ok records-go-on || fail records-go-on "$size"
	n=$(ids steady.log)
	poll 60 more_ids steady.log "$n" && ok others-are-renewed || fail others-are-renewed "$(tail -2 steady.log)"
fi

# --- log and read model on one full file system ---
fill() { dd if=/dev/zero of=broker/filler bs=1M 2>/dev/null; dd if=/dev/zero of=broker/filler2 bs=512 2>/dev/null; sync -f broker; }
full() { ! dd if=/dev/zero of=broker/probe bs=64k count=1 2>/dev/null; }
back() { [ -n "$(role_pid notary)" ] && [ "$(role_pid notary)" != "$1" ] && mayfly node ls >/dev/null 2>&1; }
recorded() { mayfly audit find --type job.ended -o json | grep -q "$(cat "$1.job")"; }
on_record() { mayfly audit find --type svid.issued -o json | grep -q "$(serial_of held)"; }
if [ -n "$disk" ]; then
	for n in first second; do watch $n && ok full-$n || fail full-$n "$(cat $n.log)"; done
	fill
	check full-disk full
	says full-removal-is-recorded 'recorded: record' mayfly revoke --job "$(cat first.job)" --reason "the disk is full"
	poll 60 grep -q '^end 7' first.log && ok full-the-job-has-lost-it || fail full-the-job-has-lost-it "$(tail -2 first.log)"
	# There may be room in what the log has allocated: what is got now must be on record afterwards.
	timeout 20 mayfly run --profile long -- mayfly svid fetch --write held >full.log 2>&1 </dev/null || rm -rf held
	notary=$(role_pid notary)
	kill -9 "$notary" "$(role_pid broker-front)"
	poll 120 back "$notary" && ok full-back-after-kill || fail full-back-after-kill "$(tail -3 broker.log)"
	says full-removal-after-kill 'recorded: record' mayfly revoke --job "$(cat second.job)" --reason "the disk is still full"
	poll 60 grep -q '^end 7' second.log && ok full-the-other-has-lost-it || fail full-the-other-has-lost-it "$(tail -2 second.log)"
	rm -f broker/filler broker/filler2 broker/probe
	poll 120 fetches && ok full-issues-again || fail full-issues-again "$(cat fetch.log)"
	[ ! -e held ] || { poll 60 on_record && ok full-issued-is-on-record || fail full-issued-is-on-record "$(tail -3 broker.log)"; }
	for n in first second; do
		poll 60 recorded $n && ok full-$n-is-on-record || fail full-$n-is-on-record "$(tail -3 broker.log)"
		says full-$n-is-still-dead '"ended"' mayfly job show "$(cat $n.job)" -o json
	done
fi
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
