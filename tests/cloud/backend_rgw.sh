#!/bin/bash
# The backend aws-sts and the courier's HTTP against a real radosgw: session policies, tags, the end at a second, deny lists by
# job, lease and credential, all sessions before a time; other jobs, and what others wrote, stay as they are.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
rgw_here
scratch backend_rgw
openssl req -x509 -newkey rsa:2048 -nodes -keyout one.key -out one.crt -subj /CN=one -days 2 2>/dev/null
rgw_up
mkdir -p plain
issuer_up "$PWD/plain"
issuer publish plain "$issuer_url" one.crt >/dev/null
role=arn:aws:iam:::role/train
printf '%s\n' 'name rgw' 'backend aws-sts' "endpoint $rgw_url" 'loopback true' >target
(umask 077; { cat target; echo "access_key $RGW_ADMIN_KEY"; echo "secret_key $RGW_ADMIN_SECRET"; } >target.admin)
{
	rgw provider "$issuer_url"
	rgw role train "$issuer_url" 'spiffe://td.example/job/*'
	rgw policy train base '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::data","arn:aws:s3:::data/*"]}]}'
	rgw bucket data
	for k in sets/a/1 sets/b/1 runs/j-1/x runs/j-10/x runs/j-2/x; do rgw put data $k hello; done
} >prepare.log 2>&1
ask() { "${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/cloud_ask" "$@"; }
assertion() {	# JOB LEASE CRED
	issuer jwt one.key "$issuer_url" "{\"sub\":\"spiffe://td.example/job/$1\",\"https://aws.amazon.com/tags\":{\"principal_tags\":{\"mayfly-job\":[\"$1\"],\"mayfly-lease\":[\"$2\"],\"mayfly-cred\":[\"$3\"]},\"transitive_tag_keys\":[\"mayfly-cred\",\"mayfly-job\",\"mayfly-lease\"]}}"
}
mint() {	# FILE JOB LEASE CRED [NOT-AFTER]
	assertion "$2" "$3" "$4" >"$1.jwt"
	ask mint target $role "$2" 900 "${5:-0}" "$1.jwt" - "s3:GetObject,s3:PutObject arn:aws:s3:::data/runs/$2/*" \
	    "s3:GetObject arn:aws:s3:::data/sets/a/*" "s3:ListBucket arn:aws:s3:::data?prefix=runs/$2/" >"$1" || fail "mint-$1" "$(cat "$1" prepare.log)"
}
as() { local c=$1; shift; RGW_CREDS=$c rgw "$@"; }
revoke() {	# OLDER-THAN [+TAG=VALUE | -TAG=VALUE]...
	local older=$1
	shift
	ask revoke target.admin $role "$older" - - "$@"
}

# --- what a token may do ---
mint a.json j-1 l-1.1 c-1
mint b.json j-2 l-2.1 c-2
says reads '^200 hello' as a.json get data runs/j-1/x
says reads-its-set '^200 hello' as a.json get data sets/a/1
says writes '^200 ' as a.json put data runs/j-1/y text
says no-other-set '^403 ' as a.json get data sets/b/1
says no-other-job '^403 ' as a.json get data runs/j-2/x
says no-sibling '^403 ' as a.json get data runs/j-10/x
says lists-its-own '^200 .*runs/j-1/x' as a.json list data runs/j-1/
says lists-no-other '^403 ' as a.json list data runs/j-2/
says lists-not-all '^403 ' as a.json list data ''
says principal 'assumed-role/train/j-1' cat a.json

# --- permissions that end by themselves, below the floor of the provider ---
mint bomb.json j-1 l-1.1 c-3 $(($(date +%s) + 4))
bombed() { [[ $(as bomb.json get data runs/j-1/x) == 403* ]]; }
poll 60 bombed && ok bomb || fail bomb "$(as bomb.json get data runs/j-1/x)"
says bomb-spares '^200 ' as a.json get data runs/j-1/x

# --- taken back: by credential, by lease, by job ---
mint a2.json j-1 l-1.1 c-4
mint a3.json j-1 l-1.2 c-5
says revoke-cred '^confirmed 2$' revoke 0 +mayfly-cred=c-1
says dead-cred '^403 ' as a.json get data runs/j-1/x
says sibling-cred '^200 ' as a2.json get data runs/j-1/x
says revoke-lease '^confirmed 2$' revoke 0 +mayfly-cred=c-1 +mayfly-lease=l-1.1
says dead-lease '^403 ' as a2.json get data runs/j-1/x
says next-epoch '^200 ' as a3.json get data runs/j-1/x
says revoke-job '^confirmed 2$' revoke 0 +mayfly-job=j-1 -mayfly-cred=c-1 -mayfly-lease=l-1.1
says dead-job '^403 ' as a3.json get data runs/j-1/x
says dead-list '^403 ' as a3.json list data runs/j-1/
says other-job '^200 ' as b.json get data runs/j-2/x
says pruned '\["j-1"\]' rgw policy train mayfly-revoked
! rgw policy train mayfly-revoked | grep -q 'c-1' && ok left || fail left "$(rgw policy train mayfly-revoked)"
says again '^confirmed 2$' revoke 0 +mayfly-job=j-1
says others-policy 's3:\*' rgw policy train base
# shellcheck disable=SC2046 # one word each
says three-hundred '^confirmed 2$' revoke 0 +mayfly-job=j-1 $(seq -f '+mayfly-job=j-aaaaaaaaaaaa%03g' 300)
says still-dead '^403 ' as a3.json get data runs/j-1/x
says still-other '^200 ' as b.json get data runs/j-2/x
# shellcheck disable=SC2046
says emptied '^confirmed 2$' revoke 0 -mayfly-job=j-1 $(seq -f '-mayfly-job=j-aaaaaaaaaaaa%03g' 300)
says gone '^404 ' rgw policy train mayfly-revoked
says undenied '^200 ' as a3.json get data runs/j-1/x

# --- all sessions of before ---
says sessions '^confirmed 3$' revoke $(($(date +%s) + 1))
says sessions-dead '^403 ' as b.json get data runs/j-2/x
sleep 2
mint later.json j-2 l-2.2 c-9
says sessions-later '^200 ' as later.json get data runs/j-2/x

# --- the way there; what is refused, and in which word ---
assertion j-9 l-9 c-9 >probe.jwt
says probe '^reachable$' ask probe target $role probe.jwt - -
assertion j-1 l-1.1 c-1 >bad.jwt
printf 'AA' >>bad.jwt
says refused-trust '^trust: ' sh -c "! '${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/cloud_ask' mint target $role j-1 900 0 bad.jwt - 's3:GetObject arn:aws:s3:::data/*'"
says refused-config '^config: ' sh -c "! '${MAYFLY_BUILD_DEV:-$MAYFLY_TOP/build-dev}/tests/cloud_ask' mint target $role j-1 10 0 a.json.jwt - 's3:GetObject arn:aws:s3:::data/*'"
finish
