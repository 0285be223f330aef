#!/bin/bash
# A broker starts while another process still holds the log, as one does that was killed in a sync: it waits and then serves. One that
# holds it for good is named, and the start is refused.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need flock curl
scratch log_held
pair_init
broker_up
broker_down
wal=$PWD/broker/log/wal
[ -d "$wal" ] || { fail wal "no $wal: $(ls broker broker/log)"; finish; }
hold() { # until the file ${1} is there
	flock "$wal" sh -c ': >held; while [ ! -e "$0" ]; do sleep 0.1; done' "$1" &
	holder=$!
	on_exit stop $holder
	poll 30 test -e held
}
waits() { grep -q '"event":"log.held"' broker.log; }
hold free
mayfly-broker run --config "$PWD/broker.yaml" >>broker.log 2>&1 </dev/null &
echo $! >broker.pid
on_exit pair_kill broker
poll 60 waits && ok waits || fail waits "$(tail -3 broker.log)"
: >free
wait $holder
poll 120 broker_ready && ok serves-afterwards || fail serves-afterwards "$(tail -3 broker.log)"
broker_down
rm -f held
hold never
timeout 120 mayfly-broker run --config "$PWD/broker.yaml" >refused.log 2>&1 </dev/null
rc=$?
[ $rc != 0 ] && [ $rc != 124 ] && ok refused || fail refused "exit code $rc: $(tail -3 refused.log)"
says names-cause-and-cure 'notary.start.*another process writes it: stop that one first' cat refused.log
finish
