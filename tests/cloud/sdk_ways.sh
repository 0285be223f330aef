#!/bin/bash
# The other ways to a job's credential than the environment of `mayfly run`: credential_process in a profile of each SDK's own, `mayfly env` in a
# process whose environment is empty, keys by `mayfly token get -o env`. What is read, written and refused is the same by each.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/sdks.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
scratch sdk-ways
sdk_names
lab_up

cat >aws.conf <<E2
[profile data]
credential_process = $MAYFLY_BIN/mayfly token get data -o credential-process
E2
for s in "${sdks[@]}"; do
	sdk_command "$s"
	lab_manifest "process-$s"
	sdk_check "process-$s" lab_run "process-$s" env -u AWS_CONTAINER_CREDENTIALS_FULL_URI -u AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE \
	    AWS_CONFIG_FILE="$PWD/aws.conf" AWS_PROFILE=data "${sdk_cmd[@]}" data sets/imgs/1 runs/RUN/ckpt runs/other/ckpt
done
# The document is what botocore's rules for it ask: version 1, and an end.
lab_manifest document
lab_run document mayfly token get data -o credential-process >document.out 2>document.err || fail document "$(cat document.err)"
says document '^\[1, true, true\]$' json '[d["Version"], d["Expiration"].endswith("Z"), all(d[k] for k in ("AccessKeyId", "SecretAccessKey", "SessionToken"))]' <document.out
# What is refused is no credential, and the program says why.
refuses process-of-another-grant lab_run document mayfly token get nothing -o credential-process

for s in "${sdks[@]}"; do
	sdk_command "$s"
	lab_manifest "env-$s"
	# shellcheck disable=SC2016 # the job's shell's words
	sdk_check "env-$s" lab_run "env-$s" env -i PATH="$PATH" HOME="$PWD" SPIFFE_ENDPOINT_SOCKET="$SPIFFE_ENDPOINT_SOCKET" AWS_ACCESS_KEY_ID=AKIAWRONG \
	    bash -c 'eval "$(mayfly env)" && "$@"; rc=$?; rm -r "${AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE%/*}"; exit $rc' sh \
	    "${sdk_cmd[@]}" data sets/imgs/1 runs/RUN/ckpt runs/other/ckpt
done

sdk_command boto3
lab_manifest keys
# shellcheck disable=SC2016 # the job's shell's words
sdk_check keys lab_run keys env -i PATH="$PATH" HOME="$PWD" SPIFFE_ENDPOINT_SOCKET="$SPIFFE_ENDPOINT_SOCKET" \
    bash -c 'eval "$(mayfly token get data -o env)" && exec "$@"' sh "${sdk_cmd[@]}" data sets/imgs/1 runs/RUN/ckpt runs/other/ckpt
dev_stop
finish
