#!/bin/bash
# Cloud tokens at a real MinIO, where its program is present (PATH, or MAYFLY_MINIO): by the role that it names, through the same backend
# as AWS. A job reads its data set and writes below its run, another's prefix is refused, a token of a minute is over after it. MinIO
# knows no tags and no deny list: what ends a token there is its scope. About 80 s, most of it that minute.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/sdks.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
minio=${MAYFLY_MINIO:-$(command -v minio)}
[ -x "$minio" ] || { skip all "no minio on PATH or in MAYFLY_MINIO: it is in no Debian archive (docs/internals/cloud-tests.md says how to build it)"; exit 0; }
rgw_py=$(python_with "$MAYFLY_TOP/tests/cloud/boto/requirements.txt") || { skip all "$(toolchain_why)"; exit 0; }
scratch minio
td=lab.example oidc=$(free_port) s3=$(free_port)
lab_issuer=http://localhost:$oidc/$td
rgw_url=http://127.0.0.1:$s3
policy() { # ROLE
	cat <<-E
	mayfly_policy: 1
	profiles:
	  train:
	    purpose: training
	    owner: tests
	    max_job: 1h
	    identities: [{path: "/{tenant}/train/job/{job}"}]
	    cloud:
	      - name: data
	        target: store
	        role: $1
	        ttl: 1h
	        on_end: expire
	        max_residual: 5m
	        scope:
	          - {actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{dataset}*"]}
	          - {actions: ["s3:GetObject", "s3:PutObject"], resources: ["arn:aws:s3:::data/runs/{run}/*"]}
	  brief:
	    purpose: training
	    owner: tests
	    max_job: 1h
	    identities: [{path: "/{tenant}/train/job/{job}"}]
	    cloud:
	      - {name: data, target: store, role: "$1", ttl: 1m, on_end: expire, scope: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{dataset}*"]}]}
	rules:
	  - {id: train, effect: permit, profile: train, owner: tests, review_by: 2099-01-01, nodes: any, when: {has: [attested.mayfly.run]}}
	  - {id: brief, effect: permit, profile: brief, owner: tests, review_by: 2099-01-01, nodes: any, when: {has: [attested.mayfly.run]}}
	E
}
# MinIO reads our documents when it starts, and says then which role it has for them.
policy arn:minio:iam:::role/not-yet >policy.yaml
dev_start --trust-domain $td --policy policy.yaml --broker "oidc={issuer: $lab_issuer, public: publisher, listen: 127.0.0.1:$oidc}" \
    --broker "cloud_targets=[{name: store, backend: aws-sts, endpoint: $rgw_url, region: us-east-1, audience: sts.mayfly, service_endpoint: $rgw_url, loopback: true}]"
export RGW_ADMIN_KEY RGW_ADMIN_SECRET
RGW_ADMIN_KEY=admin$RANDOM RGW_ADMIN_SECRET=$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
minio_up() {
	MINIO_ROOT_USER=$RGW_ADMIN_KEY MINIO_ROOT_PASSWORD=$RGW_ADMIN_SECRET MINIO_BROWSER=off MINIO_UPDATE=off HOME=$PWD \
	    MINIO_IDENTITY_OPENID_CONFIG_URL=$lab_issuer/.well-known/openid-configuration MINIO_IDENTITY_OPENID_CLIENT_ID=sts.mayfly \
	    MINIO_IDENTITY_OPENID_CLIENT_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n') MINIO_IDENTITY_OPENID_ROLE_POLICY=readwrite \
	    "$minio" server --address "127.0.0.1:$s3" store >minio.log 2>&1 </dev/null &
	on_exit stop $!
	poll 120 grep -qs 'arn:minio:iam:::role/' minio.log && poll 120 curl -sf -o /dev/null "$rgw_url/minio/health/ready"
}
minio_up || { fail minio "$(tail -5 minio.log)"; finish; }
role=$(grep -o 'arn:minio:iam:::role/[A-Za-z0-9_-]*' minio.log | head -1)
"$minio" --version | head -1
{
	rgw bucket data
	rgw put data sets/imgs/1 pixels
	rgw put data runs/other/ckpt theirs
} >lab.log 2>&1
[ "$(grep -c '^200' lab.log)" = 3 ] || { fail lab "$(cat lab.log)"; finish; }

# --- before the grant knows the role, and after ---
says doctor-names-the-side 'data.token' sh -c 'mayfly doctor --profile train; true'
policy "$role" >policy.yaml
kill -HUP "$dev_pid"
poll 60 grep -q policy.loaded dev.log || fail policy "$(tail -3 dev.log)"
mayfly doctor --profile train >doctor.log 2>&1 && ok doctor || fail doctor "$(cat doctor.log)"
says doctor-token '^ok +data.token ' cat doctor.log
says doctor-nothing-to-deny-by '^warn +data.revoker ' cat doctor.log

# --- a token of a minute, looked at last ---
lab_manifest brief '' brief
lab_run brief "$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/loop.py" data sets/imgs/1 65 brief.creds >brief.out 2>brief.err &
brief=$!
poll 120 test -s brief.creds || fail brief-start "$(cat brief.err)"
says brief-works '^200' lab_creds brief.creds

# --- unmodified SDKs, each as a job of a run of its own ---
sdk_names
for s in "${sdks[@]}"; do
	sdk_command "$s"
	lab_manifest "$s"
	sdk_check "$s" lab_run "$s" "${sdk_cmd[@]}" data sets/imgs/1 runs/RUN/ckpt runs/other/ckpt
done
sdk_command boto3
lab_manifest again "$(cat boto3.run)"
sdk_check requeued lab_run again "${sdk_cmd[@]}" data runs/RUN/ckpt runs/RUN/ckpt runs/other/ckpt

# --- the minute is over; the job that outlived its token noticed nothing ---
wait $brief || fail brief-exit "exit code $?: $(cat brief.err)"
says brief-noticed-nothing '^reads [0-9]+ failed 0 credentials ([2-9]|[1-9][0-9])$' cat brief.out
says brief-over '^403' lab_creds brief.creds
says said-so 'cloud:data .*expires at' mayfly credential ls --all
dev_stop
finish
