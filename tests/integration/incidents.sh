#!/bin/bash
# docs/internals/incidents.md names tests: each of them must be there, or the page promises what nobody looks at.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
cd "$MAYFLY_TOP" || exit 1
/usr/bin/python3 - docs/internals/incidents.md <<'P'
import glob
import re
import sys

rows = [line for line in open(sys.argv[1]) if line.startswith("| ")][1:]
named = bad = 0
for row in rows:
    incident, _, here = [x.strip() for x in row.strip().strip("|").rsplit("|", 2)]
    title = re.sub(r"[^\w.]+", "-", incident)
    found, text = 0, ""
    for word in re.findall(r"`([^`]+)`", here):
        m = re.match(r"(unit|fault|integration|interop)/(\w+)(?:: ([\w-]+))?$", word)
        if m:
            files = glob.glob("tests/%s/%s.*" % m.group(1, 2))
            if files and "_abuse" in word:  # the cases of the hostile clients stand in their tables
                files += glob.glob("tests/lib/foe_*.c") + glob.glob("tests/tools/*_foe.c")
            text = "".join(open(f).read() for f in files)
            name = m.group(3) or ""
        elif text and re.match(r"[a-z][\w-]+$", word):
            name = word  # one more of the same file
        else:
            continue
        found += 1
        # Names of script cases begin with the listener's, which the script puts there.
        if not text or (name not in text and name.split("-", 1)[-1] not in text):
            print("FAIL %s: there is no %s" % (title, word))
            bad += 1
    if not found:
        print("FAIL %s: no test and no reason" % title)
        bad += 1
    named += found
if len(rows) < 20:
    print("FAIL page: only %d rows" % len(rows))
    bad += 1
if bad == 0:
    print("ok %d-incidents-%d-tests" % (len(rows), named))
sys.exit(bad > 0)
P
exit $?
