# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh and dev.sh (profiles alpha, beta and short): mutual TLS of two programs that share the
# commands of tests/interop/go, over several renewals of both.
#
#   pair NAME SERVER-COMMAND CLIENT-COMMAND     $td is the trust domain with the tenant's path: spiffe://TD
pair() {
	local name=$1 server=$2 client=$3 spid rc=0
	rm -f port
	# shellcheck disable=SC2086 # commands of several words
	run_job alpha $server server "$td/beta" port >server.out 2>&1 &
	spid=$!
	if poll 60 test -s port; then
		# shellcheck disable=SC2086
		run_job beta $client client "$td/alpha" port 3 >client.out 2>&1 || rc=$?
		if [ $rc = 0 ]; then ok "$name"; else fail "$name" "$(cat client.out server.out)"; fi
		# The wrong caller: a genuine identity that the server does not expect.
		# shellcheck disable=SC2086
		refuses "$name-wrong-id" run_job short $client client "$td/alpha" port 1
	else
		fail "$name" "the server does not start: $(cat server.out)"
	fi
	kill -TERM $spid
	wait $spid
}
