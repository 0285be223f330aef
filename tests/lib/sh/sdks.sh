# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh, toolchains.sh and rgw.sh: unmodified SDKs, each as a small job that reads, writes and is refused
# (tests/cloud/{boto,s3fs,js,go}). No credential, endpoint or region stands in them.
#
#   sdk_names                  what can be had here, in ${sdks[@]}; what cannot is skipped by name
#   sdk NAME ARG...            run one: BUCKET READ WRITE OTHER
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
}
# The command of one SDK's job, in ${sdk_cmd[@]}: for those who start it otherwise, such as `mayfly run`.
sdk_command() {
	case $1 in
	boto3) sdk_cmd=("$rgw_py" "$MAYFLY_TOP/tests/cloud/boto/job.py") ;;
	s3fs) sdk_cmd=("$sdk_s3fs" "$MAYFLY_TOP/tests/cloud/s3fs/job.py") ;;
	js) sdk_cmd=(node "$sdk_js") ;;
	go) sdk_cmd=("$sdk_go") ;;
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
