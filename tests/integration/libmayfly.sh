#!/bin/bash
# libmayfly as it is installed: names, versions, headers, pkg-config; the examples, compiled against that copy, in jobs
# of `mayfly dev`.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
need cmake pkg-config gcc
scratch libmayfly
src=$MAYFLY_TOP

# --- installed under DESTDIR ---
install() { DESTDIR=$PWD/root cmake --install "$MAYFLY_BUILD" --prefix /usr --component "$1"; }
check install-lib install lib
[ -z "$(find root -name '*.h' -o -name '*.a' -o -name '*.pc')" ] && ok lib-alone || fail lib-alone "$(find root -type f)"
check install-dev install dev
so=$(find root -name 'libmayfly.so.0')
[ -n "$so" ] || { fail installed "$(find root)"; finish; }
libdir=$PWD/$(dirname "$so")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir

# --- the ABI ---
nm -D --defined-only "$so" | awk '$2 != "A" { print $3 }' | sort >exported
grep -oE '\bmayfly_\w+' "$src/lib/client/libmayfly.map" | sort >listed
if diff <(sed 's/@.*//' exported) listed >diff.out; then ok exported-as-listed; else fail exported-as-listed "$(cat diff.out)"; fi
grep -v '@@MAYFLY_0' exported >unversioned
[ ! -s unversioned ] && ok versioned || fail versioned "$(cat unversioned)"
if "$src/scripts/headers.py" abi | diff - "$src/lib/client/libmayfly.abi" >diff.out; then ok abi-unchanged; else
	fail abi-unchanged "the headers are not lib/client/libmayfly.abi (scripts/headers.py abi): $(cat diff.out)"
fi
if diff <(grep -oE '\bmayfly_\w+\(' "$src/lib/client/libmayfly.abi" | tr -d '(' | sort) listed >diff.out; then ok declared-as-listed; else
	fail declared-as-listed "$(cat diff.out)"
fi
nm -g --defined-only "$libdir/libmayfly.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort >static
if diff static listed >diff.out; then ok static-as-listed; else fail static-as-listed "$(cat diff.out)"; fi
says soname 'SONAME.*\[libmayfly\.so\.0\]' readelf -d "$so"
needed=$(readelf -d "$so" | sed -n 's/.*(NEEDED).*\[\(lib[a-z0-9-]*\).*/\1/p' | grep -vE '^lib(c|crypto|ssl|nghttp2|protobuf-c|jansson)$')
[ -z "$needed" ] && ok needs-no-more || fail needs-no-more "$needed"
check man-pages "$src/scripts/headers.py" check
[ -n "$(find root -name 'mayfly_workload.3')" ] && ok man-installed || fail man-installed "$(find root -name '*.3')"

# --- headers: each by itself, in every dialect ---
compilers='gcc:-std=c99 gcc:-std=c11 g++:-std=c++98 g++:-std=c++17'
for c in clang clang++; do command -v $c >/dev/null || skip "compiler-$c" "$c is not installed (deploy/deps.sh test)"; done
command -v clang >/dev/null && compilers="$compilers clang:-std=c99"
for c in $compilers; do
	case $c in *++*) ext=cc ;; *) ext=c ;; esac
	command -v "${c%%:*}" >/dev/null || { skip "headers-$c" "${c%%:*} is not installed"; continue; }
	bad=
	for h in root/usr/include/mayfly/*.h; do
		echo "#include <mayfly/${h##*/}>" >h.$ext
		echo 'int f(void); int f(void) { return MAYFLY_VERSION_MAJOR; }' >>h.$ext
		# shellcheck disable=SC2046 # options
		"${c%%:*}" "${c##*:}" -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -c h.$ext -o h.o \
		    $(pkg-config --cflags libmayfly) 2>h.err || bad="$bad ${h##*/}: $(head -3 h.err)"
	done
	[ -z "$bad" ] && ok "headers-$c" || fail "headers-$c" "$bad"
done

# --- the examples: gcc, clang and g++, shared and static ---
build() {	# NAME COMPILER... : the examples into bin-NAME/
	local name=$1 f pc out
	shift
	mkdir -p "bin-$name"
	for f in "$src"/examples/*.c; do
		pc=libmayfly
		grep -q 'mayfly/openssl.h' "$f" && pc=libmayfly-openssl
		# shellcheck disable=SC2046
		out=$("$@" -Wall -Wextra -Werror "$f" -o "bin-$name/$(basename "$f" .c)" $(pkg-config --cflags --libs $pc) 2>&1) ||
			{ fail "examples-$name" "$(basename "$f"): $out"; return; }
	done
	ok "examples-$name"
}
build gcc gcc -O2
command -v clang >/dev/null && build clang clang -O2
if command -v g++ >/dev/null; then build g++ g++ -x c++ -O2; else skip examples-g++ "g++ is not installed"; fi
# Static: a program with names like those inside.
cat >clash.c <<'E'
#include <mayfly/workload.h>
int mf_buf_init(void);
int mf_grpc_open(void);
int mf_buf_init(void) { return 40; }
int mf_grpc_open(void) { return 2; }
int
main(void)
{
	mayfly_client *c = 0;
	return mayfly_client_new("unix:///x", &c, 0) == MAYFLY_OK ? mf_buf_init() + mf_grpc_open() : 1;
}
E
# shellcheck disable=SC2046
if out=$(gcc -Wall clash.c -o clash $(pkg-config --cflags libmayfly) "$libdir/libmayfly.a" $(pkg-config --static --libs-only-l libmayfly | sed 's/-lmayfly//') -pthread 2>&1); then
	rc=0
	./clash || rc=$?
	[ $rc = 42 ] && ok static-no-clash || fail static-no-clash "exit code $rc"
else
	fail static-no-clash "$out"
fi

# --- the examples in jobs ---
dev_policy policy.yaml
sed -i "s|jwt_audiences: \[one.example, two.example\]|jwt_audiences: [one.example, two.example, vault.example]|" policy.yaml
dev_start --policy policy.yaml
e=$PWD/bin-gcc
says fetch '^id=spiffe://[^ ]*/long/job/j-.* hint=job serial=[0-9a-f]+ not_after=[0-9]+$' run_job long "$e/fetch_svid"
[ ! -x bin-g++/fetch_svid ] || says fetch-c++ '^id=spiffe://' run_job long "$PWD/bin-g++/fetch_svid"
rc=0
"$e/fetch_svid" >out 2>&1 || rc=$?
if [ $rc = 2 ] && grep -q 'no identity issued' out; then ok stranger; else fail stranger "exit code $rc: $(cat out)"; fi
rc=0
SPIFFE_ENDPOINT_SOCKET=unix://$PWD/nobody "$e/fetch_svid" >out 2>&1 || rc=$?
if [ $rc = 1 ] && grep -q 'is the agent running' out; then ok no-agent; else fail no-agent "exit code $rc: $(cat out)"; fi

# Renewals reach a program with a loop of its own.
mkfifo never
exec 9<>never # an input that never ends
run_job short "$e/watch_poll" 3 <&9 >watch.out 2>watch.err
[ "$(grep -c '^updated id=' watch.out)" = 3 ] && [ "$(sed 's/.*serial=//' watch.out | sort -u | wc -l)" = 3 ] &&
	ok watch-renewals || fail watch-renewals "$(cat watch.out watch.err)"
# The job is ended while the program runs: it lets go.
run_job long sh -c 'echo "$MAYFLY_JOB" >job.tmp; mv job.tmp job; exec "$1"' x "$e/watch_poll" <&9 >end.out 2>&1 &
pid=$!
poll 60 grep -q '^updated' end.out || fail watch-end "$(cat end.out)"
check job-end mayfly job end "$(cat job)" --reason test
rc=0
wait $pid || rc=$?
if [ $rc = 2 ] && grep -q '^dropped none' end.out; then ok watch-end; else fail watch-end "exit code $rc: $(cat end.out)"; fi

# A token, validated offline and by the agent; another service refuses it; no other audience is given out.
run_job long "$e/jwt_fetch" vault.example >out 2>&1 || fail jwt "$(cat out)"
id=$(sed -n 's/^id=\(spiffe:[^ ]*\) tokens=1$/\1/p' out)
if [ -n "$id" ] && grep -q "^subject=$id " out && grep -qx "by-agent=$id" out; then ok jwt; else fail jwt "$(cat out)"; fi
rc=0
run_job long "$e/jwt_fetch" vault.example other.example >out 2>&1 || rc=$?
if [ $rc = 3 ] && [ "$(grep -c refused out)" = 2 ]; then ok jwt-other-service; else fail jwt-other-service "exit code $rc: $(cat out)"; fi
rc=0
run_job long "$e/jwt_fetch" other.example >out 2>&1 || rc=$?
if [ $rc = 2 ] && grep -q 'other.example' out; then ok jwt-other-audience; else fail jwt-other-audience "exit code $rc: $(cat out)"; fi

# HTTPS between two jobs, over renewals of both; then callers that are not who is expected.
td=$(run_job alpha "$e/fetch_svid" | sed 's/^id=\([^ ]*\)\/alpha .*/\1/')
run_job alpha "$e/https_server" port "$td/beta" >server.out 2>&1 &
on_exit stop $!
poll 60 test -s port || fail https "$(cat server.out)"
if run_job beta "$e/https_client" port "$td/alpha" 3 >client.out 2>&1; then
	[ "$(sed 's/.*own=\([0-9a-f]*\) .*/\1/' client.out | sort -u | wc -l)" -ge 3 ] &&
		[ "$(sed 's/.*server=//' client.out | sort -u | wc -l)" -ge 3 ] &&
		grep -q "^{\"you\":\"$td/beta\"}" client.out && ok https-over-renewals || fail https-over-renewals "$(cat client.out)"
else
	fail https-over-renewals "$(cat client.out server.out)"
fi
refuses https-wrong-client run_job long "$e/https_client" port "$td/alpha"
says https-wrong-client-reason "refused: spiffe://.*/long/job/.* is authentic, but not" cat server.out
rc=0
run_job beta "$e/https_client" port "$td/gamma" >out 2>&1 || rc=$?
if [ $rc = 2 ] && grep -q "$td/alpha is authentic, but not" out; then ok https-wrong-server; else fail https-wrong-server "exit code $rc: $(cat out)"; fi
refuses https-no-certificate curl -sk --max-time 30 "https://127.0.0.1:$(cat port)/"
dev_stop
finish
