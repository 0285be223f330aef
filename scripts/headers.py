#!/usr/bin/python3
"""Whatever is made from the public headers, so that nothing is written twice.

    scripts/headers.py abi       the prototypes, one a line: lib/client/libmayfly.abi is this
    scripts/headers.py man       write docs/man/*.3, one page per header
    scripts/headers.py check     exit code 1 when a page in docs/man is not what `man` would write

A change of lib/client/libmayfly.abi is a change of the ABI: a new symbol also goes into lib/client/libmayfly.map.
"""
import glob
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ORDER = ["version", "error", "workload", "svid", "bundle", "jwt", "verify", "openssl"]
TITLE = {"version": "libmayfly"}


def headers():
    have = {os.path.basename(f)[:-2]: f for f in glob.glob(os.path.join(TOP, "include/mayfly/*.h"))}
    return [(n, have[n]) for n in ORDER if n in have] + [(n, f) for n, f in sorted(have.items()) if n not in ORDER]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def prototypes(src):
    src = re.sub(r"/\*.*?\*/", " ", src, flags=re.S)
    src = re.sub(r"^[ \t]*#.*(?:\\\n.*)*$", "", src, flags=re.M)
    for m in re.finditer(r"MAYFLY_API\b([^;]*);", src):
        text = re.sub(r"\bMAYFLY_MUST_CHECK\b", "", m.group(1))
        yield re.sub(r"\s+", " ", text).strip().replace("( ", "(")


def name_of(prototype):
    return re.search(r"(mayfly_\w+)\s*\(", prototype).group(1)


def comment_text(c):
    lines = [re.sub(r"^\s*\*? ?", "", ln).rstrip() for ln in c[2:-2].split("\n")]
    return "\n".join(lines).strip("\n ")


def escape(s):
    s = s.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + ln if ln.startswith((".", "'")) else ln for ln in s.split("\n"))


def prose(text):
    """Paragraphs; lines that are indented or start an item stay lines."""
    out = []
    for para in re.split(r"\n\s*\n", text):
        out.append(".PP")
        for ln in para.split("\n"):
            if re.match(r"\s+\S", ln) and not re.match(r"\s+- ", ln):
                out.append(".br")
            if re.match(r"\s*- ", ln):
                out.append(".br")
            out.append(escape(re.sub(r"\$\{(\w+)\}", r"\1", ln.strip())))
    return [ln for ln in out if ln != ""]


def code(lines):
    text = "\n".join(lines).strip("\n")
    text = re.sub(r"\bMAYFLY_(API|MUST_CHECK) ?", "", text)
    text = re.sub(r"[ \t]*\\$", "", text, flags=re.M).expandtabs(8)
    return [".PP", ".EX", escape(text), ".EE"] if text.strip() else []


def page(name, src):
    title = TITLE.get(name, "mayfly_" + name)
    head = re.match(r"\s*(/\*.*?\*/)", src, flags=re.S)
    summary, _, rest = comment_text(head.group(1)).partition("\n")
    first = re.match(r"mayfly/\w+\.h: (.*)", summary).group(1)
    body = rest
    m = re.match(r"([^\n]*)(.*)", first, flags=re.S)
    sentence = first
    # the summary runs to the first full stop, perhaps over lines
    whole = re.sub(r"^mayfly/\w+\.h: ", "", comment_text(head.group(1)))
    m = re.match(r"(.*?[.?!])(?:\s|$)(.*)", whole, flags=re.S)
    if m:
        sentence, body = re.sub(r"\s+", " ", m.group(1)), m.group(2)
    protos = list(prototypes(src))
    names = [title] + [name_of(p) for p in protos]
    out = [f'.\\" Made from include/mayfly/{name}.h by scripts/headers.py: change it there.',
           f'.TH {title.upper()} 3 "" "mayfly" "Library functions"', ".SH NAME",
           escape(", ".join(names)) + " \\- " + escape(sentence.rstrip(".")[:1].lower() + sentence.rstrip(".")[1:]),
           ".SH SYNOPSIS", f".B #include <mayfly/{name}.h>", ".PP",
           ".ad l", "Link with " + escape("`pkg-config --cflags --libs libmayfly" + ("-openssl" if name == "openssl" else "") + "`") + ".",
           ".SH DESCRIPTION"]
    out += prose(body)
    rest = src[head.end():]
    rest = re.sub(r'^#ifdef __cplusplus\n.*?^#endif\n', "", rest, flags=re.M | re.S)
    rest = re.sub(r"^#if defined.*?^#endif\n", "", rest, flags=re.M | re.S)
    rest = re.sub(r"^#(ifndef|endif|include)[^\n]*\n?", "", rest, flags=re.M)
    rest = re.sub(r"^#define MAYFLY_\w+_H\n", "", rest, flags=re.M)
    out.append(".SH DECLARATIONS")
    pos = 0
    # Comments that stand on lines of their own are prose; those behind code stay with it.
    for m in re.finditer(r"^/\*.*?\*/[ \t]*\n", rest, flags=re.M | re.S):
        out += code(rest[pos:m.start()].split("\n"))
        text = comment_text(m.group(0).strip())
        out += [".SS " + escape(text.strip("- \n"))] if re.match(r"-+ .* -+$", text) else prose(text)
        pos = m.end()
    out += code(rest[pos:].split("\n"))
    others = [TITLE.get(n, "mayfly_" + n) for n, _ in headers() if n != name]
    out += [".SH SEE ALSO", ", ".join(f".BR {escape(o)} (3)" if i == 0 else f"\\fB{escape(o)}\\fR(3)" for i, o in enumerate(others)),
            ""]
    return title, "\n".join(out)


def main():
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what == "abi":
        for _, f in headers():
            for p in prototypes(read(f)):
                print(p)
        return 0
    if what not in ("man", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    rc = 0
    for n, f in headers():
        title, text = page(n, read(f))
        path = os.path.join(TOP, "docs/man", title + ".3")
        if what == "man":
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        elif not os.path.exists(path) or read(path) != text:
            print(f"{os.path.relpath(path, TOP)}: not what its header says: scripts/headers.py man")
            rc = 1
    return rc


sys.exit(main())
