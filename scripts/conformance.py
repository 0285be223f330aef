#!/usr/bin/env python3
"""The map from the SPIFFE standards to the tests that show them.

    scripts/conformance.py            write docs/reference/spiffe-conformance.md
    scripts/conformance.py --check    only say what is wrong (exit code 1)

docs/internals/spiffe-rows.tsv has the rows: id, level, requirement in our words, the tests that show it
(path:function of a C test, path:check of a script), and a reason where there is none. Wrong is: a row with neither,
a test that does not exist, a test at which the id does not stand, and an id in a test that is no row's.

An id stands at a C test when it is in the function, in the comment above it, in a table of the file that the
function uses, or on the line that names the test; at a check of a script when it is in the same paragraph.
"JWT-2, 5..9" means JWT-2 and JWT-5 to JWT-9.
"""
import os
import re
import sys

ROWS = "docs/internals/spiffe-rows.tsv"
PAGE = "docs/reference/spiffe-conformance.md"
PREFIXES = ("X509", "JWT", "WIT", "BND", "WEP", "WAPI", "FED", "BEP", "BAPI", "STAB", "ID", "W", "P", "E")
MENTION = re.compile(r"(?<![\w-])(" + "|".join(PREFIXES) + r")-(\d+)((?:\.\.\d+)?(?:, \d+(?:\.\.\d+)?(?![\w-]))*)")
SECTIONS = (
    ("ID", "SPIFFE ID"), ("X509", "X509-SVID"), ("JWT", "JWT-SVID"), ("WIT", "WIT-SVID (incubating)"),
    ("BND", "Trust domain bundle and bundle map"), ("WEP", "Workload Endpoint"), ("WAPI", "Workload API"),
    ("FED", "Federation"), ("BEP", "Broker Endpoint (incubating)"), ("BAPI", "Broker API (incubating)"),
    ("STAB", "Stability"), ("W", "Facts of the wire"), ("P", "What clients in practice demand"),
    ("E", "Edge cases"),
)
HEAD = """# SPIFFE conformance

<!-- made by scripts/conformance.py from docs/internals/spiffe-rows.tsv: do not edit -->

What the SPIFFE standards (spiffe/spiffe, directory `standards`, commit `665a28f`) and their clients ask of an agent, an
issuer and a client library, and the test that shows it. Levels: M must, S should, Y may, D demanded by clients though by
no standard, E an edge case. The ids of the last three sections are our own. A row without a test says why.

A check of a script is written `script.sh`: `check`. How to run one: `tests/run.sh integration/NAME`, `ctest -R NAME`.
"""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def mentioned(text):
    """The row ids that ${text} names."""
    ids = set()
    for m in MENTION.finditer(text):
        prefix, first, more = m.group(1), int(m.group(2)), m.group(3)
        if prefix == "P" and first > 100:  # a curve
            continue
        for part in [str(first) + more] if more.startswith("..") else [str(first), more]:
            for n in re.findall(r"\d+(?:\.\.\d+)?", part):
                low, _, high = n.partition("..")
                ids.update(f"{prefix}-{k}" for k in range(int(low), int(high or low) + 1))
    return ids


def rows():
    for n, line in enumerate(read(ROWS).splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if not 3 <= len(cells) <= 5:
            sys.exit(f"{ROWS}:{n}: {len(cells)} cells, not 3 to 5")
        yield cells + [""] * (5 - len(cells))


def at_function(lines, name):
    """The text of a C test: function, comment above, tables that it uses, lines that name it. None: no such test."""
    start = next((i for i, s in enumerate(lines) if re.match(rf"{name}\(", s)), None)
    if start is None:
        return None
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("}"))
    first = start - 1  # the line of its type
    if lines[first - 1].rstrip().endswith("*/"):
        first -= 1
        while not lines[first].lstrip().startswith("/*"):
            first -= 1
    named = [s for i, s in enumerate(lines) if re.search(rf"\b{name}\b", s) and not start <= i <= end]
    text = lines[first:end + 1] + named
    for i, s in enumerate(lines):
        table = re.match(r"(?:\S.*[ *])?(\w+)\[[^\]]*\] = \{", s)
        if table and any(re.search(rf"\b{table.group(1)}\b", t) for t in text):
            last = next(k for k in range(i, len(lines)) if lines[k].rstrip().endswith("};"))
            text = text + lines[i:last + 1]
    return "\n".join(text)


def at_check(lines, name):
    """The paragraphs of a script that have the check; None: no such check."""
    text = "\n".join(lines)
    found = [p for p in text.split("\n\n") if re.search(rf"(?m)^[^#\n]*\b(?:ok|fail|check|says|refuses)\b.*(?<![\w-]){name}(?![\w]|-\w)", p) or
             re.search(rf"(?m)^[^#\n]*\b(?:ok|fail) \"{name}-?\$?", p)]
    return "\n".join(found) if found else None


def tests():
    for d, dirs, names in os.walk("tests"):
        dirs[:] = [x for x in dirs if x not in ("corpus", "data", "node_modules", "__pycache__")]
        for n in names:
            if n.endswith((".c", ".h", ".sh", ".py", ".go")):
                yield os.path.join(d, n)


def problems(table):
    known = {r[0] for r in table}
    if len(known) != len(table):
        yield f"{ROWS}: an id stands twice"
    for id, _, what, shown, why in table:
        if not shown and not why:
            yield f"{ROWS}: {id} has neither a test nor a reason"
        if not what:
            yield f"{ROWS}: {id} says nothing"
        for t in shown.split():
            path, _, name = t.partition(":")
            if not os.path.exists(path):
                yield f"{ROWS}: {id}: there is no {path}"
                continue
            lines = read(path).splitlines()
            text = at_check(lines, name) if path.endswith(".sh") else at_function(lines, name)
            if text is None:
                yield f"{path}: {id}: there is no test {name}"
            elif id not in mentioned(text):
                yield f"{path}: {id} does not stand at {name}"
    for path in sorted(tests()):
        for id in sorted(mentioned(read(path)) - known):
            yield f"{path}: {id} is no row of {ROWS}"


def page(table):
    out = [HEAD]
    for prefix, title in SECTIONS:
        out.append(f"## {title}\n\n| row | level | what | shown by |\n|---|---|---|---|")
        for id, level, what, shown, why in table:
            if id.rsplit("-", 1)[0] != prefix:
                continue
            by = []
            for t in shown.split():
                path, _, name = t.partition(":")
                by.append(f"`{path.removeprefix('tests/')}`: `{name}`")
            out.append(f"| {id} | {level} | {what} | {'; '.join(by + ([why] if why else []))} |")
        out.append("")
    return "\n".join(out)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    table = list(rows())
    bad = list(problems(table))
    text = page(table)
    if "--check" in sys.argv[1:]:
        if not os.path.exists(PAGE) or read(PAGE) != text:
            bad.append(f"{PAGE} is stale: run scripts/conformance.py")
    else:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(text)
    for b in bad:
        print(f"conformance: {b}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
