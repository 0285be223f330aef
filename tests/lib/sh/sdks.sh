# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh, toolchains.sh and rgw.sh: unmodified SDKs, each as a small job that reads, writes and is refused
# (tests/cloud/{boto,s3fs,js,go,java,cpp}). No credential, endpoint or region stands in them.
#
#   sdk_names                  what can be had here, in ${sdks[@]}; what cannot is skipped by name
#   sdk_command NAME           how one is started, in ${sdk_cmd[@]}, to which are added: BUCKET READ WRITE OTHER; or, until a file is there,
#                              --fresh BUCKET KEY FILE: a new client for each read, `reads N failed N` at the end, failures on standard error
#                              --held BUCKET KEY FILE: one client, `held STATUS` when that changes; at the end `fresh STATUS` of a new one
#   sdk_check NAME CMD...      CMD runs one: its steps read, write and other become NAME-read, NAME-write, NAME-other
sdks=()
sdk_names() {
	local p
	sdks=(boto3)
	if sdk_s3fs=$(python_with "$MAYFLY_TOP/tests/cloud/s3fs/requirements.txt"); then sdks+=(s3fs); else skip s3fs "$(toolchain_why)"; fi
	if p=$(node_modules "$MAYFLY_TOP/tests/cloud/js"); then
		sdks+=(js)
		mkdir -p js && ln -s "$p" js/node_modules && cp "$MAYFLY_TOP/tests/cloud/js/job.mjs" js/
		sdk_js=$PWD/js/job.mjs
	else
		skip js "$(toolchain_why)"
	fi
	if sdk_go=$(go_program "$MAYFLY_TOP/tests/cloud/go" mfs3job); then sdks+=(go); else skip go "$(toolchain_why)"; fi
	if sdk_java=$(java_classes "$MAYFLY_TOP/tests/cloud/java"); then sdks+=(java); else skip java "$(toolchain_why)"; fi
	if sdk_cpp=$(python_with "$MAYFLY_TOP/tests/cloud/cpp/requirements.txt"); then sdks+=(cpp); else skip cpp "$(toolchain_why)"; fi
}
sdk_command() {
	case $1 in
	boto3) sdk_cmd=("$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/job.py") ;;
	s3fs) sdk_cmd=("$sdk_s3fs" "$MAYFLY_TOP/tests/cloud/s3fs/job.py") ;;
	js) sdk_cmd=(node "$sdk_js") ;;
	go) sdk_cmd=("$sdk_go") ;;
	# These two send checksums after the body, which radosgw 16.2 does not know.
	java) sdk_cmd=(env AWS_REQUEST_CHECKSUM_CALCULATION=when_required java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp "$sdk_java" S3Job) ;;
	cpp) sdk_cmd=(env AWS_REQUEST_CHECKSUM_CALCULATION=when_required "$sdk_cpp" "$MAYFLY_TOP/tests/cloud/cpp/job.py") ;;
	esac
}
sdk_check() {
	local name=$1 out rc=0 step want
	shift
	out=$("$@" 2>"sdk-$name.err") || rc=$?
	for step in read:200 write:200 other:403; do
		want=${step#*:} step=${step%:*}
		if [ $rc = 0 ] && grep -qx "$step $want" <<<"$out"; then ok "$name-$step"; else
			fail "$name-$step" "exit code $rc, wanted $want: $out: $(tail -2 "sdk-$name.err")"
		fi
	done
}
