#!/bin/bash
# Every command in a fenced `sh` block of the documents is run, in order, one `mayfly dev` per document.
#
# Blocks of one document share a directory and a shell, as a reader's terminal would. `mayfly dev` is started in
# the background, as in a terminal of its own, and what it prints is exported. The two long commands of the README are
# not run again here: tests/run.sh is what runs this, and the demo is run by tests/interop/servers.sh. A document that needs
# what not every machine has says so in a line `<!-- needs: PROGRAM|pidfs ... -->`; one that is
# run by another script says that in its first line, `<!-- run by tests/... -->`. MF_DOCS="FILE..." runs these alone.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/docs.sh"
need openssl
scratch docs
[ -z "${MAYFLY_SPIRE_BIN:-}" ] || PATH=$MAYFLY_SPIRE_BIN:$PATH

cat >prelude.sh <<'EOF'
set -e
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
t_block() { echo "$1" >>"$T_DIR/blocks"; }
t_long() { [ -x "$MAYFLY_TOP/$1" ] && "$MAYFLY_TOP/$1" --help >/dev/null; }
t_suites() { for s in "$@"; do [ -x "$MAYFLY_TOP/tests/$s.sh" ] || [ -d "$MAYFLY_TOP/tests/$s" ] || return 1; done; }
t_dev() {
	: >"$T_DIR/dev.out"
	mayfly dev --state "$T_DIR/state" "$@" >"$T_DIR/dev.out" 2>"$T_DIR/dev.log" </dev/null &
	echo $! >"$T_DIR/dev.pid"
	for _ in $(seq 1200); do
		if grep -qx ready "$T_DIR/dev.out"; then break; fi
		sleep 0.1
	done
	eval "$(grep '^export ' "$T_DIR/dev.out")"
}
deploy/deps.sh() { "$MAYFLY_TOP/deploy/deps.sh" "$@"; }
scripts/lint.sh() { "$MAYFLY_TOP/scripts/lint.sh" "$@"; }
scripts/format.sh() { "$MAYFLY_TOP/scripts/format.sh" "$@"; }
cmake() { (cd "$MAYFLY_TOP" && command cmake "$@"); }
ln -sfn "$MAYFLY_TOP/examples" examples
EOF

lacking() {	# NEED...: what this machine has not
	local n
	for n in "$@"; do
		if [ "$n" = pidfs ]; then
			[ "$(inode_of $$)" != "$(inode_of $PPID)" ] || { echo "this kernel has no pidfs (6.9)"; return; }
		else
			command -v "$n" >/dev/null || { echo "$n is not installed"; return; }
		fi
	done
}
inode_of() { /usr/bin/python3 -c 'import os, sys; print(os.fstat(os.pidfd_open(int(sys.argv[1]))).st_ino)' "$1"; }

document() {	# FILE: one document
	local doc=$1 name dir rc=0 n last needs lacks by
	name=${doc%.md}
	name=${name//\//-} # pages of one name in two folders
	dir=$PWD/$name
	mkdir -p "$dir/work"
	docs_blocks "$MAYFLY_TOP/$doc" >"$dir/blocks.sh"
	n=$(grep -c '^t_block ' "$dir/blocks.sh")
	[ "$n" -gt 0 ] || return 0
	by=$(sed -n '1s/^<!-- run by \(tests[^ ,]*\).*/\1/p' "$MAYFLY_TOP/$doc")
	if [ -n "$by" ]; then # by a script that has the machine for it
		grep -qF "$doc" "$MAYFLY_TOP/$by" || fail "$name" "it says that $by runs it, which does not name it"
		return 0
	fi
	needs=$(sed -n 's/^<!-- needs: \(.*\) -->$/\1/p' "$MAYFLY_TOP/$doc")
	# shellcheck disable=SC2086 # words
	lacks=$(lacking $needs)
	[ -z "$lacks" ] || { skip "$name" "$lacks"; return 0; }
	{
		cat prelude.sh
		# Documents that assume a running broker start it first.
		if ! grep -q '^t_dev' "$dir/blocks.sh" && grep -qE '\bmayfly (run|job|node|svid|bundle|audit)' "$dir/blocks.sh"; then
			echo t_dev
		fi
		cat "$dir/blocks.sh"
	} >"$dir/script.sh"
	: >"$dir/blocks"
	(cd "$dir/work" && T_DIR=$dir HOME=$dir/work setsid -w timeout -k 30 300 bash "$dir/script.sh") >"$dir/out" 2>&1 || rc=$?
	[ ! -s "$dir/dev.pid" ] || { kill -TERM "$(cat "$dir/dev.pid")" 2>/dev/null && poll 60 gone "$(cat "$dir/dev.pid")"; }
	if [ $rc = 0 ]; then
		ok "$name ($n blocks)"
	else
		last=$(tail -1 "$dir/blocks")
		fail "$name" "the block at $doc:$last failed (exit code $rc): $(tail -5 "$dir/out") $(tail -2 "$dir/dev.log" 2>/dev/null)"
	fi
}

cd "$MAYFLY_TOP" || exit 1
docs=${MF_DOCS:-$(git ls-files -co --exclude-standard -- '*.md')}
cd "$t_scratch" || exit 1
for d in $docs; do document "$d"; done

# Links inside the documents lead somewhere.
bad=$(cd "$MAYFLY_TOP" && /usr/bin/python3 - $docs <<'EOF'
import os, re, sys
for f in sys.argv[1:]:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", open(f, encoding="utf-8").read()):
        if not re.match(r"[a-z]+:", target) and not os.path.exists(os.path.join(os.path.dirname(f), target)):
            print(f"{f}: {target}")
EOF
)
if [ -z "$bad" ]; then ok links; else fail links "$bad"; fi

# A link that names a test names one that is there: "[... test_x](../../tests/unit/test_y.c)".
bad=$(cd "$MAYFLY_TOP" && /usr/bin/python3 - $docs <<'EOF'
import os, re, sys
for f in sys.argv[1:]:
    for text, target in re.findall(r"\[([^\]]+)\]\(([^)#]*tests/[^)#]+)\)", open(f, encoding="utf-8").read()):
        path = os.path.join(os.path.dirname(f), target)
        source = open(path, encoding="utf-8").read() if os.path.isfile(path) else ""
        for name in re.findall(r"\btest_\w+", text):
            if name + ".c" != os.path.basename(path) and not re.search(r"^%s\(void" % name, source, re.M):
                print(f"{f}: {name} is not in {target}")
EOF
)
if [ -z "$bad" ]; then ok named-tests; else fail named-tests "$bad"; fi

# Every page is in the index.
bad=$(cd "$MAYFLY_TOP/docs" && for f in tutorial/*.md how-to/*.md reference/*.md explanation/*.md internals/*.md; do
	grep -qF "($f)" README.md || echo "$f"
done)
if [ -z "$bad" ]; then ok index; else fail index "not in docs/README.md: $bad"; fi
finish
