#!/bin/bash
# An announced end: an upload of 20 seconds that begins at the announcement finishes with what the job holds, renewed on its
# way; nothing new is granted; then the end is final. Certificates live 8 s, the drain 30 s.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
need openssl curl
scratch drain
cat >policy.yaml <<E2
mayfly_policy: 1
profiles:
  upload:
    purpose: test
    owner: tests
    max_job: 1h
    drain: 30s
    identities:
      - {path: "/{tenant}/upload/job/{job}", hint: job, x509_ttl: 8s}
    on_end: deny
rules:
  - {id: upload, effect: permit, profile: upload, owner: tests, review_by: 2099-01-01, nodes: any,
     when: {contains: [attested.unix.uid, "$(id -u)"]}}
E2
pair_init lease_ttl 60s heartbeat 2s
relay_up
broker_up
agent_up
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.pem -days 1 -subj /CN=store >/dev/null 2>&1
port=$(free_port)
# A store that takes one part from each connection whose client certificate the trust domain's CA signed.
cat >store.py <<'PY'
import socket, ssl, sys
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain("server.pem", "server.key")
ctx.load_verify_locations("creds/bundle.pem")
ctx.verify_mode = ssl.CERT_REQUIRED
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    try:
        t = ctx.wrap_socket(c, server_side=True)
        part = t.recv(100).decode()
        print(part.strip(), t.getpeercert()["serialNumber"].lower(), flush=True)
        t.sendall(b"ok")
        t.close()
    except (ssl.SSLError, OSError) as e:
        print("refused", e, flush=True)
PY
# Twenty parts, a second each, each with the certificate that is fresh by then.
cat >upload.py <<'PY'
import os, socket, ssl, sys, time
def put(n):
    ctx = ssl.create_default_context(cafile="server.pem")
    ctx.check_hostname = False
    for _ in range(50):
        try:
            ctx.load_cert_chain("creds/svid.pem", "creds/key.pem")
            break
        except (ssl.SSLError, OSError): # between the two files of one renewal
            time.sleep(0.05)
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as c, ctx.wrap_socket(c) as t:
        t.sendall(b"part %d\n" % n)
        return t.recv(10) == b"ok"
for n in range(20):
    if not put(n):
        sys.exit("part %d was not taken" % n)
    time.sleep(1) # the length of the upload is what is tested
PY
cat >job.sh <<'SH'
echo "$MAYFLY_JOB" >job
mayfly svid watch --write creds >watch.log 2>&1 &
until [ -s creds/svid.pem ] && [ -s creds/bundle.pem ]; do sleep 0.05; done
touch ready
until mayfly whoami -o json 2>/dev/null | grep -q '"state":"ending"'; do sleep 0.05; done
mayfly whoami >whoami.ending
/usr/bin/python3 upload.py "$1" >upload.log 2>&1 && touch uploaded
while mayfly svid fetch >/dev/null 2>fetch.err; do sleep 0.2; done
touch refused
sleep 600
SH
run_job upload sh job.sh "$port" >run.log 2>&1 &
job_pid=$!
on_exit stop $job_pid
poll 60 test -e ready || { fail ready "$(cat run.log watch.log)"; finish; }
/usr/bin/python3 store.py "$port" >store.log 2>&1 &
on_exit stop $!
poll 60 grep -q ready store.log
job=$(cat job)

says announced 'the end is announced; what its 1 lease held is served and renewed until' mayfly job end "$job" --drain --reason "maintenance"
state() { mayfly job show "$job" -o json | json 'd["items"][0]["state"]'; }
[ "$(state)" = ending ] && ok job-is-ending || fail job-is-ending "$(state)"
says instance-is-ending 'n1 +ending' mayfly job show "$job"
refuses no-extension mayfly job extend "$job" --by 10m
poll 120 test -e uploaded && ok upload-finished || fail upload-finished "$(cat upload.log; tail -3 store.log)"
[ "$(grep -c '^part' store.log)" = 20 ] && ok all-parts || fail all-parts "$(cat store.log)"
used=$(awk '/^part/ {print $3}' store.log | sort -u | wc -l)
[ "$used" -ge 2 ] && ok "renewed-meanwhile" || fail renewed-meanwhile "one certificate of 8 s for all of it: $(cat store.log)"
grep -q '^State *ending' whoami.ending && ok whoami-says-so || fail whoami-says-so "$(cat whoami.ending)"
poll 120 test -e refused && ok refused-afterwards || fail refused-afterwards "$(cat fetch.err)"
ended() { [ "$(state)" = ended ]; }
poll 60 ended && ok end-is-final || fail end-is-final "$(state)"
says cause 'operator' mayfly job show "$job"
# Nothing that was issued in the drain outlives it, and the end names what was live.
mayfly audit find --type job.ending -o json >ending.json
until_s=$(json 'd["items"][0]["record"]["until"]' <ending.json)
mayfly audit find --type svid.renewed -o json >renewed.json
late=$(json "[r['record']['serial'] for r in d['items'] if r['record']['exp'] > $until_s]" <renewed.json)
[ "$late" = '[]' ] && ok nothing-outlives-the-drain || fail nothing-outlives-the-drain "$late until $until_s"
says log-verifies 'ok|good|verified' mayfly audit verify
agent_down
broker_down
finish
