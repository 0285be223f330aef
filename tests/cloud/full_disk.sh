#!/bin/bash
# The disk under broker and agent is full while jobs have cloud tokens of a real radosgw. Tokens that are held are served; a new one is not
# minted, and who asks is told why; revocations take effect at the store and are recorded, also by a notary that was killed meanwhile;
# when there is space again everything goes on by itself, and the log has each end.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/rgw.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/cloud_rgw.sh"
rgw_here
need curl pgrep
[ "$(id -u)" = 0 ] || { skip all "needs root: it mounts a disk"; exit 0; }
scratch full-disk
unmount() { umount "$PWD/state" 2>/dev/null || umount -l "$PWD/state"; }
mkdir -m 700 state
if truncate -s 200M disk && mkfs.ext4 -q -F -m 0 disk 2>mkfs.err && mount -o loop disk state 2>>mkfs.err; then
	on_exit unmount
	rmdir state/lost+found
	chmod 700 state
else
	skip all "no disk can be mounted here: $(tail -1 mkfs.err)"
	exit 0
fi
lab_store
dev_start --trust-domain $lab_td --policy policy.yaml --broker "oidc=$lab_oidc" --broker "cloud_targets=$lab_targets" --broker wal_segment=1MiB
notary_pid() { pgrep -P "$(pgrep -P "$dev_pid" -x mayfly-broker | head -1)" -x notary | head -1; }

# --- jobs that ask their endpoint when they are told to ---
cat >job.sh <<'E2'
echo "$MAYFLY_JOB" >"$1.job"
while [ ! -e "$1.stop" ]; do
	if [ -e "$1.ask" ]; then
		rm "$1.ask"
		curl -s -m 120 -w '\n%{http_code}\n' -H "Authorization: $(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")" "$AWS_CONTAINER_CREDENTIALS_FULL_URI" >"$1.new"
		[ "$(tail -1 "$1.new")" != 200 ] || head -1 "$1.new" >"$1.creds"
		mv "$1.new" "$1.answer"
	fi
	sleep 0.05
done
E2
jobs=()
begin() { # NAME
	lab_manifest "$1"
	lab_run "$1" sh job.sh "$1" >"$1.out" 2>"$1.err" &
	jobs+=($!)
	poll 120 test -s "$1.job" || { fail "$1-start" "$(cat "$1.err")"; finish; }
}
ask() { rm -f "$1.answer"; : >"$1.ask"; }
answer() { poll 120 test -s "$1.answer"; tail -1 "$1.answer"; }
asks() { ask "$1"; answer "$1"; }
token_of() { mayfly credential ls --job "$(cat "$1.job")" -o json | json '[c["id"] for c in d["items"] if c["kind"] == "cloud:data"][0]'; }
dead() { lab_creds "$1" | grep -q '^403'; }
for j in held ended leaked spared late; do begin $j; done
for j in held ended leaked spared; do
	says $j-has-one '^200$' asks $j
	says $j-reads '^200' lab_creds $j.creds
done
leaked=$(token_of leaked)

# --- the disk fills, and then the log's file ---
dd if=/dev/zero of=state/fill bs=1M 2>/dev/null
dd if=/dev/zero of=state/fill bs=512 oflag=append conv=notrunc 2>/dev/null
full() { grep -q 'issuance stops' dev.log; }
n=0
until full || [ $n -ge 600 ]; do
	timeout 5 mayfly run --profile brief --manifest held.json -- true >/dev/null 2>&1
	n=$((n + 1))
done
echo "the log was full after $n more jobs"
if full; then ok issuance-stops; else fail issuance-stops "after $n jobs: $(tail -3 dev.log)"; fi
ask late

# --- what is held is served; what is taken back is dead, and on record ---
says held-is-served '^200$' asks held
mayfly revoke --job "$(cat ended.job)" --reason "the disk is full" >ended.log 2>&1 && ok revoke-works || fail revoke-works "exit code $?: $(cat ended.log)"
if poll 60 dead ended.creds; then ok ended-dead; else fail ended-dead "$(lab_creds ended.creds)"; fi

# --- the notary is killed, and comes back on the full disk ---
old=$(notary_pid)
kill -9 "$old"
another() { local p; p=$(notary_pid) && [ -n "$p" ] && [ "$p" != "$old" ]; }
if poll 120 another; then ok notary-back; else fail notary-back "$(tail -5 dev.log)"; fi
leaks() { mayfly revoke --token-file leaked.creds --reason "pushed to a repository" >leaked.log 2>&1; }
if poll 120 leaks; then ok revoke-works-again; else fail revoke-works-again "$(cat leaked.log; tail -3 dev.log)"; fi
if poll 60 dead leaked.creds; then ok leaked-dead; else fail leaked-dead "$(lab_creds leaked.creds)"; fi
says held-is-served-still '^200$' asks held
says spared-reads '^200' lab_creds spared.creds
says late-was-told '^503$' answer late
says late-was-told-why 'TryAgain' cat late.answer
cat late.answer
[ ! -e late.creds ] && ok nothing-minted || fail nothing-minted "there is a token"

# --- space again, and once more a crash ---
rm state/fill
says late-has-one '^200$' asks late
old=$(notary_pid)
kill -9 "$old"
if poll 120 another; then ok notary-back-again; else fail notary-back-again "$(tail -5 dev.log)"; fi
if poll 120 eval 'mayfly audit tail -n all -o json >records 2>audit.err'; then ok records; else fail records "$(cat audit.err)"; fi
completed() { json "[i['record']['cloud']['level'] for i in d['items'] if i['record']['type'] == 'revoke.completed' and i['record']['serial'] == '$1']" <records; }
says leaked-on-record '^\[2' completed "$leaked"
says late-reads '^200' lab_creds late.creds
dead ended.creds && dead leaked.creds && ok still-dead || fail still-dead "one of them works again"
says log-verifies 'ok|good|verified' mayfly audit verify
for j in held ended leaked spared late; do : >$j.stop; done
wait "${jobs[@]}"
dev_stop
finish
