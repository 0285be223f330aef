#!/bin/bash
# Nothing secret in what is written: the daemons' lines, the log, the tables, what commands print by themselves; and nothing of a
# job in the memory of any role once it has ended. Secrets here:
# a job's private key, its JWT-SVID, join tokens, the broker's keys. Each search is shown to find what is there.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch secrets
pair_init
relay_up
broker_up
agent_up
mkdir secret said
run_job long sh -c '
	mayfly svid fetch --write secret/id >said/write
	mayfly svid fetch --jwt --audience one.example >secret/jwt
	mayfly svid fetch >said/fetch
	mayfly svid fetch -o json >said/fetch.json
	mayfly whoami >said/whoami
	mayfly bundle show -o jwks >said/jwks
	mayfly svid validate --audience one.example <secret/jwt >said/validate
	mayfly svid validate --audience two.example <secret/jwt >said/invalid' >said/run 2>&1
[ -s secret/id/key.pem ] && [ -s secret/jwt ] && ok secrets-made || fail secrets-made "$(cat said/*)"
(umask 077 && mayfly node token >secret/token 2>said/token)
for v in "job ls --all" "node ls" "credential ls --all" "key ls" "status" "audit tail" "doctor"; do
	# shellcheck disable=SC2086 # words
	mayfly $v >>said/verbs 2>&1
	# shellcheck disable=SC2086
	mayfly $v -o json >>said/verbs 2>&1
done
# What to look for: the numbers of private keys in raw, hex and base64; the texts as they are.
cat >look.py <<'P'
import base64, os, re, subprocess, sys
def scalar(pem):  # a P-256 key's 32 bytes
    text = subprocess.run(["openssl", "ec", "-in", pem, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    return bytes.fromhex(re.search(r"priv:\n([\s0-9a-f:]+)pub", text).group(1).replace(":", "").replace(" ", "").replace("\n", ""))[-32:]
def forms(raw):
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for shift in range(3):  # base64 of it, wherever it begins in a longer text
        inner = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0:-4]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")
needles = {"job key": list(forms(scalar("secret/id/key.pem")))}
jwt = open("secret/jwt", "rb").read().strip()
needles["JWT"] = [jwt.rsplit(b".", 1)[1]]
token = open("secret/token", "rb").read().strip()
needles["join token"] = [token]
used = open("token", "rb").read().strip()
needles["used join token"] = [used]
def files(tops):
    for top in tops:
        if os.path.isfile(top):
            yield top
        for d, _, names in os.walk(top):
            for n in names:
                if os.path.isfile(os.path.join(d, n)):
                    yield os.path.join(d, n)
found, looked = [], 0
for path in files(sys.argv[1:]):
    data = open(path, "rb").read()
    joined = data.replace(b"\n", b"").replace(b"\\n", b"")  # PEM has lines, also inside JSON
    looked += 1
    found += ["%s: %s" % (path, name) for name, texts in needles.items() for t in texts if t in data or t in joined]
print("%d files" % looked)
print("\n".join(found))
sys.exit(1 if found else 0)
P
# The search finds what lies there on purpose, or it proves nothing.
refuses finds-the-token /usr/bin/python3 look.py secret/token
refuses finds-the-jwt /usr/bin/python3 look.py secret/jwt
openssl pkcs8 -topk8 -nocrypt -in secret/id/key.pem -outform DER -out secret/key.der
refuses finds-the-raw-key /usr/bin/python3 look.py secret/key.der
refuses finds-the-key-in-pem /usr/bin/python3 look.py secret/id/key.pem
# In memory: where the front has them while the job lives, and nowhere after its end. Reading it needs root.
cat >mem.py <<'P'
import sys
exec(open("look.py").read().split("def files(")[0])
needles = {"job key": needles["job key"][:1], "JWT": needles["JWT"]}
held = set()
for pid in sys.argv[1:]:
    name = open("/proc/%s/comm" % pid).read().strip()
    with open("/proc/%s/mem" % pid, "rb", 0) as mem:
        for line in open("/proc/%s/maps" % pid):
            lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line:
                continue
            mem.seek(lo)
            data = mem.read(hi - lo)
            held |= {"%s has the %s" % (name, what) for what, texts in needles.items() if any(t in data for t in texts)}
print("\n".join(sorted(held)))
P
# Another job, which still lives when its secrets are looked for.
run_job long sh -c '
	mayfly svid fetch --write secret/id >said/write2
	mayfly svid fetch --jwt --audience one.example >secret/jwt
	echo "$MAYFLY_JOB" >job.tmp; mv job.tmp job; exec sleep 600' >said/run2 2>&1 &
on_exit stop $!
poll 60 test -s job || fail second-job "$(cat said/run2)"
roles=("$(role_pid notary)" "$(role_pid broker-front)" "$(role_pid attestor)" "$(role_pid agent-front)")
if /usr/bin/python3 mem.py "${roles[@]}" >mem.live 2>mem.err; then
	if grep -q 'agent-front has the job key' mem.live && grep -q 'agent-front has the JWT' mem.live; then ok finds-them-in-memory; else fail finds-them-in-memory "$(cat mem.live)"; fi
	# The attestor carries tokens to the front; keys never leave that.
	refuses nobody-else-has-them grep -E '^attestor has the job key|^(notary|broker-front) has' mem.live
	mayfly job end "$(cat job)" --reason test >said/end 2>&1 || fail end "$(cat said/end)"
	forgotten() { [ -z "$(/usr/bin/python3 mem.py "${roles[@]}" 2>&1)" ]; }
	poll 60 forgotten && ok forgotten-at-the-end || fail forgotten-at-the-end "$(/usr/bin/python3 mem.py "${roles[@]}" 2>&1)"
else
	skip memory "it cannot be read here: $(tail -1 mem.err)"
	mayfly job end "$(cat job)" --reason test >said/end 2>&1
fi
stop "$(cat agent.pid)"
stop "$(cat broker.pid)"
check lines-of-the-daemons /usr/bin/python3 look.py broker.log agent.log init.log token.err
check what-commands-say /usr/bin/python3 look.py said
check the-log /usr/bin/python3 look.py broker/log
check the-tables /usr/bin/python3 look.py broker/db
check all-other-state /usr/bin/python3 look.py broker agent run
# The broker's own keys lie sealed: no file has a private key in clear.
clear=$(grep -rlaE 'BEGIN (EC |RSA )?PRIVATE KEY' broker agent run 2>/dev/null)
[ -z "$clear" ] && ok keys-are-sealed || fail keys-are-sealed "$clear"
says log-verifies 'ok|good|verified' mayfly audit verify
finish
