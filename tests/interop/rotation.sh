#!/bin/bash
# go-spiffe and py-spiffe live through ten CA keys: each is prepared, activated, its predecessor tainted, renewed away and revoked, while both
# watch and while jobs call one another over mTLS. No watcher sees an error, every SVID verifies against the bundle it came with.
# Then the same with ten keys of JWT-SVIDs, while both fetch tokens all the time and judge them by the bundle that their stream brought.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
go=$(go_program "$MAYFLY_TOP/tests/interop/go" mfinterop) || { skip all "$(toolchain_why)"; exit 0; }
rounds=${MF_ROTATIONS:-10}
scratch rotation
DEV_TTL=20m dev_policy policy.yaml	# long enough that only taint renews
dev_start --policy policy.yaml

key() { mayfly key ls -o json | json 'next((str(k["'"$2"'"]) for k in d["items"] if k["use"] == "'"${3:-x509}"'" and k["state"] == "'"$1"'"), "")'; }
confirmed() { mayfly key ls -o json | json 'all(k["agents"] == k["agents_confirmed"] > 0 for k in d["items"] if k["state"] == "prepared")' | grep -qx true; }
nobody() { [ "$(key tainted held)" = 0 ]; }
serials() { grep -o '"serial": *"[0-9a-f]*"' "$1" | sort -u | wc -l; }

run_job long "$go" watch 100000 >go.watch 2>&1 &
go_pid=$!
on_exit stop $go_pid
watchers=(go.watch)
if py=$(python_with "$MAYFLY_TOP/tests/interop/python/requirements.txt"); then
	run_job long "$py" "$MAYFLY_TOP/tests/interop/python/mfpy.py" watch 100000 >py.watch 2>&1 &
	py_pid=$!
	on_exit stop $py_pid
	watchers+=(py.watch)
else
	skip py-spiffe "$(toolchain_why)"
fi
td=$(run_job alpha "$go" fetch | json 'd["svids"][0]["id"].rsplit("/", 1)[0]')
run_job alpha "$go" server "$td/beta" port >server.out 2>&1 &
server_pid=$!
on_exit stop $server_pid
poll 60 test -s port || fail server "$(cat server.out)"
# A new connection every 50 ms, until both sides have shown as many certificates as there are keys.
run_job beta "$go" client "$td/alpha" port $((rounds + 1)) >client.out 2>&1 &
client_pid=$!
on_exit stop $client_pid
for w in "${watchers[@]}"; do poll 60 grep -q '"serial"' "$w" || fail watch "$w: $(cat "$w")"; done
poll 60 grep -q connected client.out

rotate() {
	local old
	old=$(key active id)
	mayfly key prepare && poll 60 confirmed && mayfly key activate --force && mayfly key taint "$old" || return 1
	poll 60 nobody || { mayfly key ls; return 1; }
	seen() { for w in "${watchers[@]}"; do [ "$(serials "$w")" -ge $((i + 1)) ] || return 1; done; }
	poll 60 seen || { echo "a watcher missed key $i"; return 1; }
	mayfly key revoke "$old"
}
for ((i = 1; i <= rounds; i++)); do
	rotate >rotate.log 2>&1 || { fail "rotation-$i" "$(cat rotate.log) $(tail -3 dev.log)"; break; }
done
[ "$i" -gt "$rounds" ] && ok "rotations ($rounds)"
rc=0
wait $client_pid || rc=$?
[ $rc = 0 ] && ok mtls-through-all || fail mtls-through-all "$(tail -3 client.out server.out)"
grep -q '"refused"' server.out && fail server-refused "$(grep refused server.out | head -2)" || ok server-refused-nobody
for w in "${watchers[@]}"; do
	kill -0 "$( [ "$w" = go.watch ] && echo $go_pid || echo "$py_pid")" && ok "$w-alive" || fail "$w-alive" "$(tail -3 "$w")"
	grep -q '"error"' "$w" && fail "$w-errors" "$(grep '"error"' "$w" | head -3)" || ok "$w-no-error"
	# As many certificates as keys: rotation alone renews nothing, taint renews once.
	n=$(serials "$w")
	[ "$n" = $((rounds + 1)) ] && ok "$w-serials ($n)" || fail "$w-serials" "$n certificates for $((rounds + 1)) keys"
done
says one-key-left '^1$' sh -c 'mayfly bundle show | grep -c BEGIN'

# --- JWT keys ---
jwt_use=jwt-svid-es256
run_job long "$go" tokens $((rounds + 1)) one.example >go.tokens 2>&1 &
go_tokens=$!
on_exit stop $go_tokens
tokens=(go.tokens)
if [ -n "${py:-}" ]; then
	run_job long "$py" "$MAYFLY_TOP/tests/interop/python/mfpy.py" tokens $((rounds + 1)) one.example >py.tokens 2>&1 &
	py_tokens=$!
	on_exit stop $py_tokens
	tokens+=(py.tokens)
fi
kids() { grep -o '"kid": *"[^"]*"' "$1" | sort -u | wc -l; }
kids_seen() { for t in "${tokens[@]}"; do [ "$(kids "$t")" -ge "$1" ] || return 1; done; }
rotate_jwt() {
	local old
	old=$(key active id $jwt_use)
	mayfly key prepare --use $jwt_use && poll 60 confirmed && mayfly key activate --use $jwt_use --force && mayfly key taint -- "$old" || return 1
	poll 60 kids_seen $((i + 1)) || { echo "nobody fetched by key $i"; cat "${tokens[@]}"; return 1; }
	mayfly key revoke -- "$old"
}
poll 60 kids_seen 1 || fail tokens "$(cat "${tokens[@]}")"
for ((i = 1; i <= rounds; i++)); do
	rotate_jwt >rotate.log 2>&1 || { fail "jwt-rotation-$i" "$(cat rotate.log) $(tail -3 dev.log)"; break; }
done
[ "$i" -gt "$rounds" ] && ok "jwt-rotations ($rounds)"
for t in "${tokens[@]}"; do
	rc=0
	wait "$( [ "$t" = go.tokens ] && echo $go_tokens || echo "$py_tokens")" || rc=$?
	[ $rc = 0 ] && ok "$t-all-valid ($(tail -1 "$t"))" || fail "$t-all-valid" "$(tail -3 "$t")"
done
says log-verifies 'ok|good|verified' mayfly audit verify
dev_stop
finish
