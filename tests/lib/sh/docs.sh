# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh by the scripts that run what documents say.
#
#   docs_blocks FILE          its fenced `sh` blocks as a script: a call of t_block LINE before each, so that a failure names it
#   docs_file FILE NAME       its fenced `yaml` blocks whose first line is `# NAME`: the parts of that file
docs_blocks() {
	/usr/bin/python3 - "$1" <<'EOF'
import re, sys
path, text = sys.argv[1], open(sys.argv[1], encoding="utf-8").read()
dev = 0
for m in re.finditer(r"^```sh\n(.*?)^```$", text, re.M | re.S):
    line = text[:m.start()].count("\n") + 2
    body = m.group(1)
    print(f"t_block {line}")
    for cmd in body.splitlines():
        s = cmd.strip()
        if re.match(r"mayfly dev\b", s):
            cmd, dev = "t_dev" + s[len("mayfly dev"):], 1
        elif s in ("deploy/quickstart.sh", "tests/run.sh", "deploy/quickstart.sh build"):
            cmd = f"t_long {s}"
        elif s.startswith("tests/run.sh "):
            cmd = "t_suites " + s[len("tests/run.sh "):]
        elif s == "export PATH=$PWD/build/bin:$PATH":
            cmd = ":"
        print(cmd)
EOF
}
docs_file() { awk -v name="# $2" '/^```/ { first = ($0 == "```yaml"); take = 0; next } first { first = 0; take = ($0 == name); next } take' "$1"; }
