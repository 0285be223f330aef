# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by run.sh, after servers.sh and store.sh, for `run.sh --cloud`: a real object store whose tokens Mayfly hands to the job.
#
#   cloud_here             Ceph's programs and Python's boto3 (a virtual environment in build/), or a word about what is missing
#   cloud_start            the store; sets ${cloud_dev[@]}: what `mayfly dev` is told of it
#   cloud_prepare CSV      what an operator does once: the roles by `mayfly setup`, a bucket, the data set in it
#   cloud_policy POLICY    the policy with the job's cloud grant
#   cloud_get CREDS KEY    read an object with these credentials: `accepted: ...`, or `refused: ...` and exit code 1
#   cloud_shown KEY        after the end of ${job}, whose checkpoint is KEY: its old credentials at the store, and what is known of them
#   cloud_logged FILE      are intent, issue and end of each of its tokens in the records of FILE?
cloud_here() {
	local missing why want=$here/requirements.txt
	missing=$(store_missing)
	[ -z "$missing" ] || { echo "demo: $missing" >&2; return 1; }
	cloud_venv=$top/build/demo-venv
	cmp -s "$want" "$cloud_venv/complete" && return
	say "fetching boto3 and the AWS command line, as pinned in deploy/demo/requirements.txt, into build/demo-venv/"
	rm -rf "$cloud_venv"
	mkdir -p "$top/build"
	why=$({ /usr/bin/python3 -m venv --system-site-packages "$cloud_venv" &&
		"$cloud_venv/bin/pip" -q install --disable-pip-version-check --require-hashes --only-binary :all: --ignore-installed -r "$want"; } 2>&1) || {
		echo "demo: $why" >&2
		return 1
	}
	cp "$want" "$cloud_venv/complete"
}
cloud_start() {
	local port
	# Ceph's own user, where root runs this: it needs no other rights.
	store_user=''
	if [ "$(id -u)" = 0 ]; then
		store_user=nobody
		! id ceph >/dev/null 2>&1 || store_user=ceph
	fi
	store_up "$dir/store" || return 1
	port=$(demo_free_port) || return 1
	# The store reads our keys there. In clear, for it is on loopback; elsewhere it is https (docs/how-to/publish-oidc.md).
	cloud_issuer=http://127.0.0.1:$port/demo
	cloud_dev=(
		--broker "oidc={issuer: $cloud_issuer, public: publisher, listen: 127.0.0.1:$port}"
		--broker "cloud_targets=[{name: store, backend: aws-sts, endpoint: $store_url, region: us-east-1, issuer: $cloud_issuer/x5c,
		    service_endpoint: $store_url, revoker_role: 'arn:aws:iam:::role/mayfly-revoker', loopback: true}]"
	)
}
cloud_policy() { sed -i -e "/@CLOUD@/{r $here/cloud.yaml" -e 'd}' "$1"; }
# With nothing of the caller's own: no key, profile or endpoint of this machine gets in.
cloud_clean() {
	env -i PATH="$cloud_venv/bin:$PATH" HOME="$dir" AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
	    AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$store_url" \
	    AWS_REQUEST_CHECKSUM_CALCULATION=when_required AWS_RESPONSE_CHECKSUM_VALIDATION=when_required "$@"
}
cloud_admin() { cloud_clean AWS_ACCESS_KEY_ID="$store_key" AWS_SECRET_ACCESS_KEY="$store_secret" "$@"; }
cloud_prepare() {
	local out
	mayfly setup rgw --profile demo-train --policy "$dir/policy.yaml" --config "$MAYFLY_STATE/broker.yaml" >"$dir/setup.sh" || return 1
	out=$(cloud_admin sh -e "$dir/setup.sh" 2>&1) && out=$(cloud_admin aws s3 mb s3://lab 2>&1) &&
		out=$(cloud_admin aws s3 cp --no-progress "$1" s3://lab/sets/digits/digits.csv 2>&1) || { echo "$out" >&2; return 1; }
}
cloud_get() { cloud_clean "$cloud_venv/bin/python" "$here/try.py" bucket "$store_url" "$@"; }
cloud_shown() {
	step "What the job's cloud credentials are worth now"
	# The broker tells the store as soon as the job is over; a moment passes until it did.
	gone() { cloud_get "$dir/copy/aws.json" lab/sets/digits/digits.csv | grep -q '^refused: HTTP 403'; }
	demo_poll 60 gone || die "the old credentials still work: $(cloud_get "$dir/copy/aws.json" lab/sets/digits/digits.csv 2>&1)"
	say "the careless job gave these away, too: access key, secret and session token, good for an hour by themselves"
	refused "the data set, with the old credentials" cloud_get "$dir/copy/aws.json" lab/sets/digits/digits.csv
	refused "the checkpoint, with them" cloud_get "$dir/copy/aws.json" "lab/$1"
	holds "a new job of the same role" mayfly run --profile demo-train --manifest "$dir/manifest.json" -- \
	    "$cloud_venv/bin/python" "$here/try.py" bucket "$store_url" - lab/sets/digits/digits.csv
	known() { mayfly credential ls --all --job "$job" >"$dir/credentials.out" && grep -q 'cloud:data .*denied: dead from' "$dir/credentials.out"; }
	cmd "mayfly credential ls --all --job $job"
	demo_poll 60 known || die "the broker does not say that they are dead: $(cat "$dir/credentials.out")"
	show <"$dir/credentials.out"
	say "denied: the store refuses every session with this job's tag, from its next request on"
	say "(what an end is worth at other providers: docs/explanation/revocation.md)"
}
cloud_logged() {	# FIND.json: intent, issue and end of each token of the job
	/usr/bin/python3 - "$1" <<-'E'
		import json, sys
		by = {}
		for item in json.load(open(sys.argv[1]))["items"]:
		    r = item["record"]
		    if r["type"] in ("cloud.intent", "cloud.issued", "revoke.completed") and r.get("serial"):
		        by.setdefault(r["type"], set()).add(r["serial"])
		tokens = by.get("cloud.issued", set())
		for t in sorted(tokens):
		    print("cloud token %s: intent, issue and end are in it" % t)
		sys.exit(not tokens or not tokens <= by.get("cloud.intent", set()) & by.get("revoke.completed", set()))
	E
}
