#!/bin/bash
# A lint that finds nothing proves nothing: each rule must fire on a line that breaks it, and on no clean one.
set -u
. "$(dirname "$0")/common.sh"
scratch lint

mkdir -p lib/base lib/os lib/rpc broker/core broker/front broker/notary tests/fuzz
cp "$MAYFLY_TOP/scripts/lint.py" .
git init -q .
expect() {	# NAME RULE FILE TEXT: the file with this text breaks the rule
	mkdir -p "$(dirname "$3")"
	printf '%s\n' "$4" >"$3"
	local out
	out=$(/usr/bin/python3 ./lint.py 2>&1)
	if [ "$2" = none ]; then
		if [[ $out == *"nothing to say"* ]]; then ok "$1"; else fail "$1" "$out"; fi
	elif [[ $out == *"[$2]"* ]]; then
		ok "$1"
	else
		fail "$1" "rule $2 did not fire: $out"
	fi
	rm -f "$3"
}
c='/* x: a test. */'
expect clean none lib/base/x.c "$c"
expect banned-call calls lib/base/x.c "$c
int f(void) { return atoi(0); }"
expect banned-name-in-comment none lib/base/x.c "$c
/* not atoi(), not strcpy() */
const char *s = \"sprintf(\";"
expect strtol calls broker/front/x.c "$c
int f(void) { return (int)strtol(p, 0, 10); }"
expect popen calls broker/front/x.c "$c
void f(void) { popen(p, 0); }"
expect method-is-no-call none broker/front/x.c "$c
void f(void) { x->system(1); }"
expect memcmp-on-secret memcmp broker/front/x.c "$c
int f(void) { return memcmp(secret, b, 3); }"
expect memcmp-with-reason none broker/front/x.c "$c
int f(void) { return memcmp(token_name, b, 3); } /* lint: memcmp: a public name */"
expect print-in-library quiet lib/base/x.c "$c
void f(void) { fprintf(stderr, \"x\"); }"
expect layer-up layer lib/base/x.c "$c
#include \"rpc/frame.h\""
expect layer-siblings layer broker/notary/x.c "$c
#include \"broker/front/read_model.h\""
expect core-takes-library layer broker/core/x.c "$c
#include \"rpc/frame.h\""
expect core-is-pure include broker/core/x.c "$c
#include <unistd.h>"
expect third-party include broker/front/x.c "$c
#include <openssl/evp.h>"
expect sqlite-elsewhere include broker/notary/x.c "$c
#include <sqlite3.h>"
expect ifdef ifdef broker/front/x.c "$c
#ifdef __linux__
#endif"
expect ifdef-in-os none lib/os/x.c "$c
#ifdef __linux__
#endif"
expect nodiscard nodiscard lib/base/x.h "$c
#ifndef MF_X
#define MF_X
enum mf_status mf_x_open(int a);
#endif"
expect nodiscard-kept none lib/base/x.h "$c
#ifndef MF_X
#define MF_X
MF_NODISCARD enum mf_status mf_x_open(int a,
    int b);
#endif"
expect cleanup-before-init cleanup lib/base/x.c "$c
static void
f(bool b)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf x, y;
	mf_buf_init(&x, 1);
	if (b)
		return;
	mf_buf_init(&y, 1);
}"
expect cleanup-after-init none lib/base/x.c "$c
static void
f(bool b)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf x, y;
	mf_buf_init(&x, 1);
	mf_buf_init(&y, 1);
	if (b)
		return;
}"
expect long-function length lib/base/x.c "$c
void
f(void)
{
$(seq -f '	x(%g);' 90)
}"
expect long-file length lib/base/x.c "$c
$(seq -f 'int x%g;' 710)"
expect no-head head lib/base/x.c "int x;"
expect trailing-blank space lib/base/x.c "$c
int x; "
expect machine-path private docs/x.md "see /$(echo work)/main"
expect outside-path private docs/x.md "see ../$(echo shared)/x"
expect fuzz-without-corpus corpus tests/fuzz/fuzz_x.c "$c"
finish
