#!/bin/bash
# What a cloud token costs the broker, 1,024 jobs that want one in the same moment, and how soon a provider hears of a job's end
# (bench_cloud_mint). The provider is a fake that answers at once: the broker is what is measured. MF_BENCH_ALG=ES256: assertions are signed
# by that; AWS and radosgw take both. Nothing is asserted.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
dev=${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}
[ -x "$dev/tests/bench_cloud_mint" ] || { skip all "bench_cloud_mint is not built"; exit 0; }
scratch bench-cloud-mint
"$dev/tests/bench_cloud_mint" "$PWD" >out 2>err &
bench=$!
on_exit stop $bench
poll 60 test -s port || { fail provider "$(cat err)"; finish; }
oidc=$(free_port) alg=${MF_BENCH_ALG:-RS256}
cat >policy.yaml <<E2
mayfly_policy: 1
profiles:
  lab:
    purpose: test
    owner: tests
    max_job: 1h
    drain: 0s
    identities: [{path: "/{tenant}/lab/job/{job}", hint: job, x509_ttl: 20m}]
    cloud: [{name: lab, target: lab, role: "arn:aws:iam::123456789012:role/train", ttl: 20m,
             scope: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::lab/runs/{run}/*"]}]}]
    on_end: deny
rules:
  - {id: lab, effect: permit, profile: lab, owner: tests, review_by: 2099-01-01, nodes: any, when: {contains: [attested.unix.uid, "$(id -u)"]}}
E2
pair_init oidc "{issuer: http://127.0.0.1:$oidc, public: publisher, listen: 127.0.0.1:$oidc}" \
	cloud_targets "[{name: lab, backend: aws-sts, endpoint: \"http://127.0.0.1:$(cat port)/\", revoker_role: \"arn:aws:iam::123456789012:role/revoker\", loopback: true, algorithm: $alg}]"
sed -i "s/^advertise: .*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml
echo "machine: $(uname -sr), $(nproc) CPUs, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); $(openssl version); $(mayfly --version | head -1)"
broker_up
if [ "$alg" = ES256 ]; then
	mayfly key prepare --use jwt-assertion-es256 --reason bench >key.log 2>&1 && poll 60 mayfly key activate --use jwt-assertion-es256 --force --reason bench ||
		{ fail key "$(cat key.log)"; finish; }
fi
(umask 077 && mayfly node token --uses 64 >token 2>token.err) || { fail token "$(cat token.err)"; finish; }
echo "notary=$(role_pid notary) front=$(role_pid broker-front) courier=$(role_pid courier)" >roles.new
mv roles.new roles
wait $bench && ok cloud_mint || fail cloud_mint "$(cat err; grep -v '"level":"info"' broker.log | tail -3)"
cat out
broker_down
finish
