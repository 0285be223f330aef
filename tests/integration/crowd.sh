#!/bin/bash
# E-1: 1,000 streams of one caller (20 connections with 50, then 100 on one), and 1,000 requests of a caller without identity,
# while another job fetches: everybody is served or refused, in order, nobody is stalled, and the attestor and the broker are
# asked a bounded number of times for each caller. The other job's times are printed, idle and in the crowd.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch crowd
dev_policy policy.yaml
sed -i 's/when: {contains: .*}}$/when: {has: [attested.mayfly.run]}}/' policy.yaml
pair_init
relay_up
broker_up
agent_up
py=/usr/bin/python3 lib=$MAYFLY_TOP/tests/lib/sh sock=$PWD/run/agent.sock
metric() { curl -sf "http://127.0.0.1:$P_MA/metrics" | sed -n "s/^mayfly_agent_$1_total //p"; }
other() {	# NAME: the other job, until ./stop-NAME
	run_job long $py "$lib/fetch_loop.py" "$sock" "$PWD/stop-$1" >"other-$1" 2>"other-$1.err" </dev/null &
	on_exit stop $!
}
settled() { [ -s "other-$1" ]; }
other idle
sleep 1 # some fetches without a crowd, to compare with
touch stop-idle
poll 60 settled idle
other crowd
for shape in "20 50" "1 100"; do
	read -r conns streams <<<"$shape"
	rm -f release crowd.out
	asked=$(metric who_is)
	run_job long $py "$lib/crowd.py" "$sock" "$conns" "$streams" "$PWD/release" >crowd.out 2>crowd.err </dev/null &
	on_exit stop $!
	poll 200 test -s crowd.out
	says "$conns-x-$streams-all-served" "streams $((conns * streams)) served $((conns * streams)) refused 0 other 0 in-order yes" cat crowd.out
	# One look at the process, whatever it opens; the run's own connection, and those that were opened before the answer.
	asked=$(($(metric who_is) - asked))
	[ $asked -le $((conns + 2)) ] && ok "$conns-x-$streams-looks ($asked)" || fail "$conns-x-$streams-looks" "$asked"
	touch release
done
asked=$(metric who_is) told=$(records authz.denied 2>/dev/null || echo 0)
$py "$lib/crowd.py" "$sock" 10 100 >stranger.out 2>stranger.err </dev/null
says stranger-all-refused "streams 1000 served 0 refused 1000 other 0 in-order yes" cat stranger.out
asked=$(($(metric who_is) - asked))
[ $asked -le 11 ] && ok "stranger-looks ($asked)" || fail stranger-looks "$asked"
for _ in 1 2 3; do $py "$lib/crowd.py" "$sock" 100 1 >>stranger2.out 2>>stranger.err </dev/null; done
# P-32
[ "$(grep -c 'streams 100 served 0 refused 100 ' stranger2.out)" = 3 ] && ok stranger-by-connections || fail stranger-by-connections "$(cat stranger2.out)"
denied=$(($(records authz.denied) - told))
[ $denied -ge 1 ] && [ $denied -le 8 ] && ok "stranger-records ($denied)" || fail stranger-records "$denied"
touch stop-crowd
poll 60 settled crowd
says other-job-is-not-stalled ' bad 0 ' cat other-crowd
echo "   another job, idle: $(cat other-idle); in the crowd: $(cat other-crowd)"
agent_down
broker_down
finish
