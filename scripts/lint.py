#!/usr/bin/python3
"""The rules behind scripts/lint.sh. Each check yields (file, line, text); any finding fails the run.

A line that must break a rule says why in a comment: /* lint: RULE: reason */ on the same line, where
RULE is the word printed in brackets.
"""
import argparse
import os
import re
import subprocess
import sys

FILE_MAX = 700      # lines of a source file
FUNC_MAX = 80       # lines of a function, braces included
FUNC_WARN = 60

# What each directory may include, besides itself. Keys are matched longest first.
_ALL_LIB = ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "lib/log", "lib/os", "lib/net", "lib/conf"]
LAYERS = {
    "lib/base": [],
    "lib/crypto": ["lib/base"],
    "lib/codec": ["lib/base", "lib/crypto"],
    "lib/rpc": ["lib/base", "lib/crypto", "proto"],
    "lib/log": ["lib/base", "lib/crypto", "lib/codec"],
    "lib/os": ["lib/base", "lib/crypto", "lib/codec"],
    "lib/net": ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "lib/os", "proto"],
    "lib/conf": ["lib/base", "lib/crypto", "lib/codec"],
    "lib/client": ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "proto"],
    "broker/core": ["lib/base", "lib/codec"],
    "broker/policy": ["lib/base", "lib/crypto", "lib/codec", "lib/conf", "broker/core"],
    "agent/core": ["lib/base", "lib/codec"],
    "broker/keys": ["lib/base", "lib/crypto", "lib/codec", "lib/log", "lib/os"],
    "broker/attestors": ["lib/base", "lib/crypto", "lib/codec", "broker/core"],
    "broker/backends": ["lib/base", "lib/crypto", "lib/codec", "broker/core", "proto"],
    "broker/courier": [d for d in _ALL_LIB if d not in ("lib/net", "lib/log", "lib/conf")] + ["broker/backends", "broker/core", "proto"],
    "broker/verifier": [d for d in _ALL_LIB if d not in ("lib/net", "lib/log", "lib/conf")] + ["proto"],
    "broker/notary": [d for d in _ALL_LIB if d != "lib/net"] + ["broker/core", "broker/policy", "broker/keys", "broker/attestors", "broker/backends", "proto"],
    "broker/publisher": ["lib/base", "lib/crypto", "lib/log", "lib/os", "lib/net"],
    "broker/front": _ALL_LIB + ["broker/core", "broker/policy", "proto"],
    "broker": [d for d in _ALL_LIB if d != "lib/net"] + ["broker/core", "broker/keys", "broker/policy", "broker/backends", "proto"],
    "agent/attestor": [d for d in _ALL_LIB if d != "lib/net"] + ["agent/core", "proto"],
    "agent/resolver": ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "lib/os", "proto"],
    "agent/front": _ALL_LIB + ["agent/core", "proto"],
    "agent": [d for d in _ALL_LIB if d != "lib/net"] + ["proto"],
    "cli/sign": ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "proto"],
    "cli": ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "lib/log", "lib/os", "lib/conf", "cli/sign", "proto"],
    "cli/remote": _ALL_LIB + ["proto"],
    "cli/audit": ["lib/base", "lib/crypto", "lib/codec", "lib/log", "lib/os"],
    "cli/policy": ["lib/base", "lib/crypto", "lib/codec", "lib/rpc", "lib/log", "lib/os", "lib/conf", "broker/core", "broker/policy",
                   "cli/sign", "proto"],
    "include": [],
}
# Third-party headers and the only files that may include them.
THIRD = [
    (r"openssl/(ssl|tls1|ssl3|srtp)\.h", r"lib/net/tls|lib/client/openssl|include/mayfly/openssl\.h"),
    (r"openssl/", r"lib/(crypto/|codec/(x509|svid|bundle|cert|pem|pkcs8|jwk)|net/tls|client/openssl)"),
    (r"nghttp2/", r"lib/rpc/"),
    (r"protobuf-c/", r"lib/rpc/"),
    (r"event2?/|event\.h|evutil", r"lib/net/"),
    (r"jansson\.h", r"lib/codec/json"),
    (r"yaml\.h", r"lib/conf/"),
    (r"sqlite3\.h", r"broker/front/read_model"),
    (r"seccomp\.h|cap-ng\.h|linux/(landlock|seccomp|filter|bpf)", r"lib/os/"),
    (r"uthash\.h", r"lib/base/"),
    (r"curl/|libpq-fe\.h", r"broker/courier/"),
    (r"cmocka\.h", r"tests/"),
]
PURE = ("broker/core", "agent/core")
# Headers of the C library that a pure core may use: no I/O, no time, no processes.
PURE_LIBC = {"assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h",
             "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"}

BANNED = [
    (r"strcpy|strcat|stpcpy|strncpy|strncat|sprintf|vsprintf|gets|strtok|strtok_r", "calls", "use mf_buf"),
    (r"ato[ifl]|atoll|strto[a-z]+|sscanf|fscanf|scanf|vsscanf", "calls", "use the parsers of base/text.h"),
    (r"gmtime|localtime|ctime|asctime|mktime|timegm|strftime", "calls", "use base/clock.h"),
    (r"s?rand|s?random|[dlm]rand48|rand_r", "calls", "use base/rand.h"),
    (r"alloca|setjmp|longjmp|vfork|tmpnam|tempnam|mktemp", "calls", "see c-style rules"),
    (r"system|popen|wordexp", "calls", "no shell: use fork and exec"),
]
BANNED_TESTS = [(r"strcpy|strcat|sprintf|vsprintf|gets|alloca|tmpnam|mktemp", "calls", "bounded calls only")]
# Library code does not print, exit or read the environment (the daemon layer does).
QUIET = r"printf|fprintf|vprintf|vfprintf|puts|fputs|perror|exit|getenv|setenv|putenv|syslog|warnx?|errx?"
QUIET_DIRS = ("lib/base", "lib/crypto", "lib/codec", "lib/rpc", "lib/conf", "lib/client", "broker/core", "agent/core")
SECRET_ARG = r"secret|priv|passw|token|psk|shared|\bmac\b|hmac|session_value"
IFDEF_OK = r"__cplusplus|MF_INSTRUMENTED|__has_feature|__has_attribute|__SANITIZE|__BYTE_ORDER|_GNU_SOURCE"

# Machine paths and workplace names. Written as patterns that do not match themselves.
PRIVATE = [
    (r"(?<![\w.])/wor[k]/", "a machine path"),
    (r"\.\./share[d]\b", "a path outside the tree"),
    (r"(?<![\w])/(roo[t]|home/[a-z]+)/(?!\.cache)", "a home directory"),
]

findings, warnings = [], []


def find(f, line, rule, text):
    findings.append((f, line, rule, text))


def blank(src):
    """The source with comments and literals blanked, line by line as long as before."""
    def sub(m):
        s = m.group(0)
        if s[0] in "\"'":
            return s[0] + re.sub(r"[^\n]", " ", s[1:-1]) + s[0]
        return re.sub(r"[^\n]", " ", s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', sub, src, flags=re.S)


def owner(path):
    d = os.path.dirname(path)
    while d and d not in LAYERS:
        d = os.path.dirname(d)
    return d


def check_includes(f, raw):
    own = owner(f)
    test = f.startswith(("tests/", "examples/"))    # programs of others, as far as the layers are concerned
    for n, line in enumerate(raw, 1):
        m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not m or "lint: include:" in line:
            continue
        inc = m.group(2)
        for pat, where in THIRD:
            if re.match(pat, inc):
                if not test and not re.match(where, f):
                    find(f, n, "include", f"<{inc}> belongs to its one wrapper ({where})")
                break
        if m.group(1) == "<":
            if own in PURE and inc not in PURE_LIBC:
                find(f, n, "include", f"{own} is pure: <{inc}> is not for it")
            continue
        if test or not own:
            continue
        if inc.endswith(".pb-c.h") or inc.startswith("proto/"):
            if own != "proto" and "proto" not in LAYERS[own]:
                find(f, n, "layer", f'{own} may not include "{inc}", which is of proto/')
            continue
        target = None
        for base in ("lib/", "") if not inc.startswith("mayfly/") else ("include/",):
            target = target or owner(base + inc)
        if "/" not in inc:
            if not os.path.exists(os.path.join(os.path.dirname(f), inc)):
                continue
            find(f, n, "layer", f'write "{inc}" from lib/ or the top')
        elif target is None:
            find(f, n, "layer", f'"{inc}" is in no known layer')
        elif target != own and target not in LAYERS[own] and target != "include":
            find(f, n, "layer", f"{own} may not include {target} (\"{inc}\")")


def check_calls(f, raw, code):
    test = f.startswith(("tests/", "examples/"))
    rules = BANNED_TESTS if test else BANNED
    for n, line in enumerate(code, 1):
        if "(" not in line:
            continue
        for pat, rule, cure in rules:
            m = re.search(r"(?<![\w.>])(" + pat + r")\s*\(", line)
            if m and "lint: calls:" not in raw[n - 1]:
                find(f, n, rule, f"{m.group(1)}() is banned: {cure}")
        if not test and f.startswith(QUIET_DIRS):
            m = re.search(r"(?<![\w.>])(" + QUIET + r")\s*\(", line)
            if m and "lint: quiet:" not in raw[n - 1] and not line.startswith("#"):
                find(f, n, "quiet", f"{m.group(1)}(): this layer returns errors, it does not print or exit")
        if not test:
            m = re.search(r"(?<!\w)memcmp\s*\(([^;]*)", line)
            if m and re.search(SECRET_ARG, m.group(1)) and "lint: memcmp:" not in raw[n - 1]:
                find(f, n, "memcmp", "compare secrets in constant time (base/secret.h), or say why it is public")


def check_preprocessor(f, raw):
    if f.startswith(("tests/", "lib/os/")):
        return
    guard = 0
    for n, line in enumerate(raw, 1):
        m = re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b(.*)", line)
        if not m:
            continue
        if f.endswith(".h") and m.group(1) == "ifndef" and guard == 0:
            guard = 1
            continue
        if not re.search(IFDEF_OK, m.group(2)) and "lint: ifdef:" not in line:
            if m.group(1) == "ifndef" and re.match(r"\s*#\s*define", raw[n] if n < len(raw) else ""):
                continue    # a default for a value the build may set
            find(f, n, "ifdef", "conditional code belongs in lib/os")


def check_functions(f, code):
    start = None
    for n, line in enumerate(code, 1):
        if line.startswith("{"):
            start = n
        elif line.startswith("}") and start is not None:
            size = n - start + 1
            name = ""
            for k in range(start - 2, max(start - 12, -1), -1):
                m = re.match(r"(\w+)\s*\(", code[k])
                if m:
                    name = m.group(1)
                    break
            if size > FUNC_MAX:
                find(f, start, "length", f"{name}(): {size} lines, at most {FUNC_MAX}")
            elif size > FUNC_WARN:
                warnings.append((f, start, f"{name}(): {size} lines, aim for {FUNC_WARN}"))
            start = None


def check_cleanup(f, raw, code):
    """What is cleaned up at the end of its scope is initialised before anything can leave the scope."""
    for i, line in enumerate(code):
        m = re.match(r"\s+MF_AUTO_IN\(\w+\) struct \w+ ([\w, ]+);$", line)
        if not m or "lint: cleanup:" in raw[i]:
            continue
        names = {n.strip() for n in m.group(1).split(",")}
        for k in range(i + 1, len(code)):
            if code[k].startswith("}"):
                break
            names = {n for n in names if not re.search(r"&" + n + r"\b|\b" + n + r"(\.\w+)? = ", code[k])}
            if names and re.search(r"\breturn\b|\bMF_TRY\(", code[k]):
                find(f, k + 1, "cleanup", f"{', '.join(sorted(names))}: initialise it where it is declared: leaving here cleans up what it is not")
                break
            if not names:
                break


def check_nodiscard(f, raw, code):
    text = "\n".join("" if ln.lstrip().startswith("#") else ln for ln in code)
    pos = 0
    depth = 0
    stmt_start = 0
    for m in re.finditer(r"[;{}]", text):
        pos = m.start()
        stmt = text[stmt_start:pos]
        if depth == 0:
            p = re.search(r"\benum\s+mf_status\s+(mf_\w+)\s*\(", stmt)
            if p and "MF_NODISCARD" not in stmt and "typedef" not in stmt and "static inline" not in stmt:
                n = text[:stmt_start + p.start()].count("\n") + 1
                # mf_err_set, mf_err_wrap and *_fail yield the status they were given
                if not re.match(r"mf_(err_\w+|\w+_fail)$", p.group(1)) and "lint: nodiscard:" not in raw[n - 1]:
                    find(f, n, "nodiscard", f"{p.group(1)}: a prototype of enum mf_status is MF_NODISCARD")
        if m.group(0) == "{":
            # extern "C" { ... } does not nest
            if 'extern "' not in stmt:
                depth += 1
        elif m.group(0) == "}":
            depth = max(0, depth - 1)
        stmt_start = pos + 1


def check_head(f, raw):
    """Each .c starts with a comment, or its header does."""
    if f.startswith(("tests/unit/test_", "tests/fault/test_", "tests/fuzz/fuzz_")):
        return      # named after what they test
    first = next((ln for ln in raw if ln.strip()), "")
    if first.startswith(("/*", "//")):
        return
    if f.endswith(".c"):
        h = f[:-2] + ".h"
        if os.path.exists(h):
            with open(h, encoding="utf-8") as fh:
                if fh.read().lstrip().startswith(("/*", "//")):
                    return
    find(f, 1, "head", "starts without a comment that says what this file is")


def check_text(f, raw):
    for n, line in enumerate(raw, 1):
        if re.search(r"[ \t]+$", line) and not f.endswith((".md", ".patch")):
            find(f, n, "space", "trailing blanks")
        for pat, what in PRIVATE:
            if re.search(pat, line):
                find(f, n, "private", f"names {what}: {line.strip()[:80]}")


def check_fuzz(files):
    names = set(files)
    for f in sorted(names):
        m = re.match(r"tests/fuzz/fuzz_(\w+)\.c$", f)
        if m and not any(g.startswith(f"tests/fuzz/corpus/{m.group(1)}/") for g in names):
            find(f, 1, "corpus", f"no file in tests/fuzz/corpus/{m.group(1)}/")


# Shared libraries that a program may need, besides libc; everything else is a finding.
NEEDED = {
    "notary": {"libcrypto", "libjansson", "libyaml-0", "libprotobuf-c", "libseccomp", "libcap-ng"},
    "attestor": {"libcrypto", "libjansson", "libyaml", "libprotobuf-c", "libseccomp", "libcap-ng"},
    "mayfly": {"libprotobuf-c", "libnghttp2", "libseccomp", "libcap-ng"},
}


def check_built(build):
    for d, dirs, names in os.walk(build):
        dirs[:] = [x for x in dirs if x != "CMakeFiles"]
        for a in names:
            if not re.match(r"libmf_.*\.a$", a) or a == "libmf_proto.a":
                continue
            ours = ("mf_", "mayfly_", "__", "_GLOBAL_") if a == "libmf_client.a" else ("mf_", "__", "_GLOBAL_")
            out = subprocess.run(["nm", "-g", "--defined-only", os.path.join(d, a)], capture_output=True, text=True)
            for line in out.stdout.splitlines():
                p = line.split()
                if len(p) == 3 and p[1] in "TDBRCVW" and not p[2].startswith(ours):
                    find(a, 0, "symbol", f"{p[2]}: an exported name starts with mf_")
    for sub in ("bin", "libexec/mayfly"):
        d = os.path.join(build, sub)
        for name in sorted(os.listdir(d)) if os.path.isdir(d) else []:
            if name not in NEEDED:
                continue
            out = subprocess.run(["readelf", "-d", os.path.join(d, name)], capture_output=True, text=True)
            if "libasan" in out.stdout or "libtsan" in out.stdout:
                continue
            for lib in re.findall(r"\(NEEDED\).*\[(lib[\w.-]+?)(?:\.so[^\]]*)?\]", out.stdout):
                lib = lib.split(".so")[0]
                if lib not in NEEDED[name] and not re.match(r"lib(c|m|pthread|dl|rt|gcc_s|ubsan)$", lib):
                    find(f"{sub}/{name}", 0, "needed", f"links {lib}, which this program has no use for")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build")
    args = ap.parse_args()
    ls = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True)
    files = [f for f in ls.stdout.splitlines() if os.path.isfile(f)]
    for f in files:
        if f.startswith("tests/fuzz/corpus/") or re.search(r"\.(png|svg|der|bin|sum)$", f):
            continue
        try:
            with open(f, encoding="utf-8") as fh:
                src = fh.read()
        except UnicodeDecodeError:
            continue
        raw = src.split("\n")
        check_text(f, raw)
        if not f.endswith((".c", ".h")):
            continue
        if len(raw) - 1 > FILE_MAX and "generated" not in raw[0].lower():
            find(f, FILE_MAX, "length", f"{len(raw) - 1} lines, at most {FILE_MAX}")
        code = blank(src).split("\n")
        check_head(f, raw)
        check_includes(f, raw)
        check_calls(f, raw, code)
        check_preprocessor(f, raw)
        check_functions(f, code)
        check_cleanup(f, raw, code)
        if f.endswith(".h") and not f.startswith("tests/"):
            check_nodiscard(f, raw, code)
    check_fuzz(files)
    if args.build:
        check_built(args.build)
    for f, n, text in warnings:
        print(f"{f}:{n}: warning: {text}", file=sys.stderr)
    for f, n, rule, text in sorted(findings):
        print(f"{f}:{n}: [{rule}] {text}")
    if findings:
        print(f"lint: {len(findings)} findings in {len(files)} files")
        return 1
    print(f"lint: {len(files)} files, nothing to say ({len(warnings)} long functions)")
    return 0


sys.exit(main())
