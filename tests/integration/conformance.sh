#!/bin/bash
# The map of SPIFFE rows to tests holds, its page is fresh, and the check itself fails for what it is there for.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
need /usr/bin/python3
py=/usr/bin/python3
check map $py "$MAYFLY_TOP/scripts/conformance.py" --check

# A tree of its own, with one good row; then one mistake each.
scratch conformance
good() {
	rm -rf tree
	mkdir -p tree/scripts tree/docs/internals tree/docs/reference tree/tests/unit
	cp "$MAYFLY_TOP/scripts/conformance.py" tree/scripts/
	printf 'ID-1\tM\tthe scheme\ttests/unit/test_a.c:test_one\t\nID-2\tS\tthe name\t\tthere is none yet\n' >tree/docs/internals/spiffe-rows.tsv
	printf '/* ID-1 */\nstatic void\ntest_one(void **state)\n{\n}\n\nstatic void\ntest_two(void **state)\n{\n}\n' >tree/tests/unit/test_a.c
	$py tree/scripts/conformance.py >out 2>&1
}
finds() {	# NAME PATTERN: the check fails and says so
	local rc=0
	$py tree/scripts/conformance.py --check >out 2>&1 || rc=$?
	if [ $rc = 1 ] && grep -qE -- "$2" out; then ok "$1"; else fail "$1" "exit code $rc: $(cat out)"; fi
}
rows=tree/docs/internals/spiffe-rows.tsv
good && check good $py tree/scripts/conformance.py --check
good; sed -i 's/\tthere is none yet//; s/ID-2\tS\tthe name\t/&\t/' $rows
finds neither-test-nor-reason 'ID-2 has neither a test nor a reason'
good; sed -i 's/test_one/test_gone/' $rows
finds no-such-test 'there is no test test_gone'
good; sed -i 's/test_a.c/test_b.c/' $rows
finds no-such-file 'there is no tests/unit/test_b.c'
good; sed -i 's/test_one/test_two/' $rows
finds not-at-the-test 'ID-1 does not stand at test_two'
good; echo '/* ID-1..3 */' >>tree/tests/unit/test_a.c
finds unknown-row 'ID-3 is no row'
good; sed -i '2d' $rows
finds stale-page 'is stale'
finish
