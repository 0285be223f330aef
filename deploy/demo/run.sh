#!/bin/bash
# The demo: a real training job gets its identity, uses it on two real servers, ends, and loses it.
#
#   deploy/demo/run.sh [--minimal | --cloud] [--bin DIR]
#
# Everything lives in a scratch directory and on loopback, and is stopped and removed at the end. --minimal
# leaves out the two servers and the training. --cloud adds an object store (Ceph's radosgw): the job reads its data set there
# with a token of its own, and writes its checkpoint. Each statement that is printed was checked just before; when
# one does not hold, the script says so and fails.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
bin=$top/build/bin minimal='' cloud='' cloud_dev=()
while [ $# -gt 0 ]; do
	case $1 in
	--minimal) minimal=1 ;;
	--cloud) cloud=1 ;;
	--bin) bin=$2; shift ;;
	*) echo "demo: unknown argument $1" >&2; exit 2 ;;
	esac
	shift
done
[ -x "$bin/mayfly" ] || { echo "demo: no $bin/mayfly: run deploy/quickstart.sh build first" >&2; exit 1; }
[ -z "$minimal" ] || [ -z "$cloud" ] || { echo "demo: --minimal has no training job, which --cloud is about: give one of them" >&2; exit 2; }
PATH=$bin:$PATH
. "$here/servers.sh"
. "$here/store.sh"
. "$here/cloud.sh"

dir=$(mktemp -d "${TMPDIR:-/tmp}/mayfly-demo.XXXXXX") || exit 1
chmod 755 "$dir"	# the servers run as another user
dev_pid='' bad=0
cleanup() {
	trap - EXIT
	demo_servers_stop
	store_stop
	if [ -n "$dev_pid" ]; then
		kill -TERM "$dev_pid" 2>/dev/null || true
		demo_poll 60 eval "! kill -0 $dev_pid" || kill -KILL "$dev_pid" 2>/dev/null
		wait "$dev_pid" 2>/dev/null
	fi
	cd /
	if [ "$bad" = 0 ]; then rm -rf "$dir"; else echo "kept for a look: $dir" >&2; fi
	exit "$bad"
}
trap cleanup EXIT
trap 'bad=130; exit' INT TERM

if [ -t 1 ]; then b=$'\e[1m' r=$'\e[0m'; else b='' r=''; fi
step() { printf '\n%s== %s%s\n' "$b" "$*" "$r"; }
cmd() { printf '   $ %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
show() { sed 's/^/   /'; }
die() {
	printf 'demo: %s\n' "$*" >&2
	[ ! -s "$dir/dev.log" ] || { echo "demo: the last lines of the daemons' log:" >&2; tail -8 "$dir/dev.log" >&2; }
	bad=1
	exit
}
# holds TEXT CMD...: the command succeeds; refused TEXT CMD...: it fails with exit code 1, refused
holds() {
	local t=$1 out
	shift
	out=$("$@" 2>&1) || die "$t: did not hold: $* said: $out"
	say "$t: ${out%%$'\n'*}"
}
refused() {
	local t=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	[ $rc = 1 ] || die "$t: was not refused (exit code $rc): $* said: $out"
	say "$t: ${out%%$'\n'*}"
}
ended() { mayfly job show "$1" -o json | grep -qE '"state": *"ended"'; }

if [ -n "$cloud" ]; then
	step "Start an object store: Ceph's radosgw with its token service, on loopback"
	cloud_here || die "--cloud needs the above"
	cloud_start || die "the store did not start (above)"
	say "radosgw on ${store_url#http://}; it keeps everything in memory"
fi

step "Start broker and agent for a throw-away trust domain (mayfly dev)"
sed "s/@UID@/$(id -u)/g" "$here/policy.yaml" >"$dir/policy.yaml"

if [ -n "$cloud" ]; then cloud_policy "$dir/policy.yaml"; fi
cmd "mayfly dev --state DIR --policy policy.yaml${cloud:+ --broker oidc=... --broker cloud_targets=...}"
mayfly dev --state "$dir/state" --policy "$dir/policy.yaml" "${cloud_dev[@]}" >"$dir/dev.out" 2>"$dir/dev.log" </dev/null &
dev_pid=$!
up() { grep -qx ready "$dir/dev.out" || ! kill -0 "$dev_pid" 2>/dev/null; }
demo_poll 120 up
grep -qx ready "$dir/dev.out" || die "mayfly dev does not get ready"
eval "$(grep '^export ' "$dir/dev.out")"
holds "ready" echo "$SPIFFE_ENDPOINT_SOCKET"
mayfly bundle show >"$dir/bundle.pem" || die "mayfly bundle show"
# Who signs the log is settled before anything happens, not by what lies beside the log afterwards.
cp "$MAYFLY_STATE/broker/log/vkey" "$dir/log.vkey" || die "the log's public key"

if [ -z "$minimal" ]; then
	step "Start nginx and PostgreSQL, unprivileged; both trust only our bundle and let in only CN=demo-train"
	demo_server_certs "$dir/servers" || die "openssl"
	mkdir -p "$dir/servers/www"
	/usr/bin/python3 - "$dir/servers/www/digits.csv" <<-'EOF' || die "scikit-learn's digits"
		import sys, numpy, sklearn.datasets
		d = sklearn.datasets.load_digits()
		numpy.savetxt(sys.argv[1], numpy.column_stack([d.data, d.target]), "%d", ",")
	EOF
	demo_nginx "$dir/servers" "$dir/bundle.pem" || die "nginx"
	demo_postgres "$dir/servers" "$dir/bundle.pem" || die "PostgreSQL did not start (above); --minimal needs no server"
	say "nginx on $DEMO_NGINX, PostgreSQL on $DEMO_POSTGRES"
	digest=$(sha256sum "$dir/servers/www/digits.csv" | cut -d' ' -f1)
	data=https://$DEMO_NGINX/digits.csv uri=https://127.0.0.1/digits.csv python=/usr/bin/python3 checkpoint=()
	try() { /usr/bin/python3 "$here/try.py" "$1" "$2" "$dir/servers/server-ca.pem" "${@:3}"; }
else
	digest=$(printf '' | sha256sum | cut -d' ' -f1) uri=https://127.0.0.1/digits.csv
fi
if [ -n "$cloud" ]; then
	step "What the operator does once: the store trusts our issuer, and has a role for this profile"
	cmd "mayfly setup rgw --profile demo-train | sh    # as the store's administrator"
	cloud_prepare "$dir/servers/www/digits.csv" || die "the store could not be prepared (above)"
	data=s3://lab/sets/digits/digits.csv uri=s3://lab/sets/digits python=$cloud_venv/bin/python
	checkpoint=(--checkpoint s3://lab/runs/RUN/model)
	say "the data set is in s3://lab/sets/digits; no key of the store's is in any configuration of ours"
fi
sed -e "s/@DIGEST@/$digest/" -e "s|@URI@|$uri|" "$here/manifest.json" >"$dir/manifest.json"

step "Run the job"
if [ -z "$minimal" ]; then
	cmd "mayfly run --profile demo-train --manifest manifest.json -- python3 train.py ..."
	mayfly run --profile demo-train --manifest "$dir/manifest.json" -- "$python" "$here/train.py" \
	    --data "$data" "${checkpoint[@]}" --database "$DEMO_POSTGRES" \
	    --server-ca "$dir/servers/server-ca.pem" --mayfly "$bin/mayfly" --leak "$dir/copy" \
	    >"$dir/job.out" 2>"$dir/job.err" || { cat "$dir/job.out" "$dir/job.err" >&2; die "the job failed"; }
	show <"$dir/job.out"
	job=$(sed -n 's/^job \([^:]*\): .*/\1/p' "$dir/job.out")
else
	cmd "mayfly run --profile demo-train --manifest manifest.json -- mayfly svid fetch --write copy"
	# shellcheck disable=SC2016 # expanded inside the job
	mayfly run --profile demo-train --manifest "$dir/manifest.json" -- sh -c \
	    'mayfly whoami && mayfly svid fetch --write "$0" && echo "$MAYFLY_JOB" >"$0/job"' "$dir/copy" \
	    >"$dir/job.out" 2>"$dir/job.err" || { cat "$dir/job.out" "$dir/job.err" >&2; die "the job failed"; }
	show <"$dir/job.out"
	job=$(cat "$dir/copy/job")
fi
[ -n "$job" ] || die "the job did not know its name (MAYFLY_JOB)"
demo_poll 60 ended "$job" || die "job $job is over, but its end is not recorded"
say "job $job ended with its last process; the record of its end is in the log"

if [ -z "$minimal" ]; then
	step "What a stranger gets from both servers"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=demo-train \
	    -keyout "$dir/self.key" -out "$dir/self.pem" 2>/dev/null || die "openssl"
	for s in "nginx $DEMO_NGINX" "postgres $DEMO_POSTGRES"; do
		# shellcheck disable=SC2086 # two words
		refused "${s%% *}, no certificate" try $s
		# shellcheck disable=SC2086
		refused "${s%% *}, a self-made CN=demo-train" try $s "$dir/self.pem" "$dir/self.key"
	done
	cmd "mayfly run --profile demo-other -- ...    # a genuine identity of this trust domain, but another one"
	# shellcheck disable=SC2016 # expanded inside the job
	mayfly run --profile demo-other -- sh -c 'mayfly svid fetch --write "$0" &&
		openssl verify -CAfile "$0/bundle.pem" -untrusted "$0/svid.pem" "$0/svid.pem"' "$dir/other" \
	    >"$dir/other.out" 2>&1 || die "demo-other got no identity: $(cat "$dir/other.out")"
	refused "nginx, demo-other" try nginx "$DEMO_NGINX" "$dir/other/svid.pem" "$dir/other/key.pem"
	refused "postgres, demo-other" try postgres "$DEMO_POSTGRES" "$dir/other/svid.pem" "$dir/other/key.pem"
fi

step "After the end nobody is served"
refused "a process outside of any job asks" mayfly svid fetch
cmd "mayfly run ... & mayfly job end J    # and a process that outlives its job's end"
mkfifo "$dir/go"
# shellcheck disable=SC2016 # expanded inside the job
mayfly run --profile demo-train --manifest "$dir/manifest.json" -- sh -c '
	mayfly svid fetch >/dev/null && echo "$MAYFLY_JOB" >"$0/second.tmp" && mv "$0/second.tmp" "$0/second"
	read -r _ <"$0/go"
	mayfly svid fetch >"$0/after.out" 2>&1; echo $? >"$0/after.rc"' "$dir" >"$dir/second.out" 2>&1 &
second=$!
demo_poll 60 test -s "$dir/second" || die "the second job: $(cat "$dir/second.out")"
mayfly job end "$(cat "$dir/second")" --reason demo >"$dir/end.out" 2>&1 || die "mayfly job end: $(cat "$dir/end.out")"
echo >"$dir/go"
demo_poll 60 test -s "$dir/after.rc" || die "the second job does not answer"
wait $second
[ "$(cat "$dir/after.rc")" = 1 ] || die "served after the end: $(cat "$dir/after.out")"
say "asked again, got: $(head -1 "$dir/after.out")"

[ -z "$cloud" ] || cloud_shown "$(sed -n 's|^checkpoint: s3://lab/||p' "$dir/job.out")"

step "What still works: a copy of certificate and key that left the job"
until=$(openssl x509 -in "$dir/copy/svid.pem" -noout -enddate 2>/dev/null | cut -d= -f2)
[ -n "$until" ] || die "the copy holds no certificate"
if [ -z "$minimal" ]; then
	holds "nginx" try nginx "$DEMO_NGINX" "$dir/copy/svid.pem" "$dir/copy/key.pem"
	holds "postgres" try postgres "$DEMO_POSTGRES" "$dir/copy/svid.pem" "$dir/copy/key.pem"
else
	holds "chain to the trust domain's CA" openssl verify -CAfile "$dir/bundle.pem" -untrusted "$dir/copy/svid.pem" \
	    "$dir/copy/svid.pem"
fi
say "accepted until $until"
say "Revocation does not reach verifiers yet: until then a stolen copy works. That is why it lives 20 minutes."

step "The log"
cmd "mayfly audit verify --key log.vkey    # the public key, kept since the start"
mayfly audit verify --key "$dir/log.vkey" >"$dir/verify.out" 2>&1 || die "mayfly audit verify: $(cat "$dir/verify.out")"
show <"$dir/verify.out"
cmd "mayfly audit find --key log.vkey --job $job"
mayfly audit find --key "$dir/log.vkey" --job "$job" >"$dir/find.out" 2>&1 || die "mayfly audit find: $(cat "$dir/find.out")"
show <"$dir/find.out"
serial=$(openssl x509 -in "$dir/copy/svid.pem" -noout -serial | cut -d= -f2 | tr 'A-F' 'a-f')
mayfly audit find --key "$dir/log.vkey" --job "$job" -o json >"$dir/find.json" || die "mayfly audit find -o json"
grep -q '"svid.issued"' "$dir/find.json" && grep -q "$serial" "$dir/find.json" ||
	die "the issuance of serial $serial is not in the log"
grep -q '"lease.ended"' "$dir/find.json" || die "the end of the job is not in the log"
[ -z "$cloud" ] || cloud_logged "$dir/find.json" >"$dir/cloud.out" || die "a cloud token's intent, issue or end is not in the log"
[ -z "$cloud" ] || show <"$dir/cloud.out"
say "the copy's serial $serial is in it, and the end of the job"
