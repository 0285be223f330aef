#!/bin/bash
# Unmodified SDKs find a credential by the container endpoint's environment alone, and radosgw takes it.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/sdks.sh"
rgw_here
scratch sdks
sdk_names
openssl req -x509 -newkey rsa:2048 -nodes -keyout k.key -out k.crt -subj /CN=k -days 2 2>/dev/null
rgw_up
mkdir docs
issuer_up "$PWD/docs"
issuer publish docs "$issuer_url" k.crt
{
	rgw provider "$issuer_url"
	rgw role train "$issuer_url" 'spiffe://td.example/job/*'
	rgw policy train base "$(rgw_allow 's3:*' 'arn:aws:s3:::data,arn:aws:s3:::data/*')"
	rgw bucket data
	rgw put data sets/a hello
	rgw put data runs/r-2/ckpt hello
} >setup.log 2>&1
[ "$(grep -c '^200 ' setup.log)" = 6 ] || fail setup "$(cat setup.log)"
rgw assume train r-1 "$(issuer jwt k.key "$issuer_url" '{"sub":"spiffe://td.example/job/r-1"}')" \
    "$(rgw_allow s3:GetObject 'arn:aws:s3:::data/sets/*' s3:GetObject,s3:PutObject 'arn:aws:s3:::data/runs/r-1/*')" >cred.json ||
	fail assume "$(cat cred.json)"
# What a session wrote is its subject's own: the administrator may not read it, another session of the role may.
rgw assume train reader "$(issuer jwt k.key "$issuer_url" '{"sub":"spiffe://td.example/job/reader"}')" >reader.json || fail assume "$(cat reader.json)"

port=$(free_port)
printf 'Bearer %s' "$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')" >secret
/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/endpoint.py" "$port" cred.json secret >endpoint.log 2>&1 </dev/null &
on_exit stop $!
poll 60 grep -qs '^ready' endpoint.log || fail endpoint "$(cat endpoint.log)"
found=(env -i PATH="$PATH" HOME="$PWD" AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:$port/v1/aws/store"
	AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="$PWD/secret" AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
	AWS_ENDPOINT_URL="$rgw_url" AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null)
for s in "${sdks[@]}"; do
	sdk_command "$s"
	sdk_check "$s" "${found[@]}" "${sdk_cmd[@]}" data sets/a "runs/r-1/$s" runs/r-2/ckpt
	RGW_CREDS=reader.json says "$s-wrote" "^200 checkpoint of" rgw get data "runs/r-1/$s"
done
# After the end the endpoint says 403, and no SDK has anything left to sign with.
rm cred.json
for s in "${sdks[@]}"; do
	sdk_command "$s"
	out=$("${found[@]}" "${sdk_cmd[@]}" data sets/a "runs/r-1/$s" runs/r-2/ckpt 2>&1)
	if grep -q '^read ' <<<"$out" && ! grep -qE '^(read|write) 200' <<<"$out"; then ok "$s-after-the-end"; else
		fail "$s-after-the-end" "$out"
	fi
done
finish
