# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh, toolchains.sh, rgw.sh and dev.sh, in a scratch directory: `mayfly dev` with a real radosgw as its cloud
# target `lab`, and what the two must know of each other.
#
#   lab_store            radosgw alone; sets lab_oidc and lab_targets, what broker.yaml says of `oidc` and `cloud_targets`; policy.yaml. lab_td=TD
#                        before it: the trust domain
#   lab_up               both; bucket `data` with sets/imgs/1 and runs/other/ckpt; profiles `train`, `brief` (one minute) and `upload` (two grants) have the grant `data`
#   lab_more             a function of the script's own, if there is one: prints more cloud targets, ", {...}" each
#   lab_manifest NAME [RUN [PROFILE]]   writes NAME.json: the data set s3://data/sets/imgs; of a new run or that one; profile `train`
#   lab_run NAME CMD...  a job with NAME.json; RUN in a word of CMD becomes its run, which is written to NAME.run
#   lab_creds FILE       is the credential in FILE good? Prints the status of a read of the data set with it
lab_td=lab.example
lab_store() {
	local port oidc='' td=$lab_td scheme=https
	port=$(free_port)
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout lab.key -out lab.crt -subj /CN=lab -days 2 \
	    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null && chmod 600 lab.key
	if unshare -m true 2>/dev/null || unshare -r -m true 2>/dev/null; then
		rgw_trust=lab.crt oidc=", certificate: $PWD/lab.crt, key: $PWD/lab.key"
	else
		scheme=http
	fi
	lab_issuer=$scheme://localhost:$port/$td
	rgw_up
	{
		rgw provider "$lab_issuer/x5c"
		rgw role train "$lab_issuer/x5c" "spiffe://$td/*/train/job/*"
		rgw role revoker "$lab_issuer/x5c" "spiffe://$td/broker/revoker"
		rgw policy train base "$(rgw_allow 's3:*' 'arn:aws:s3:::data,arn:aws:s3:::data/*')"
		rgw policy revoker base "$(rgw_allow iam:GetRolePolicy,iam:PutRolePolicy,iam:DeleteRolePolicy arn:aws:iam:::role/train)"
		rgw bucket data
		rgw put data sets/imgs/1 pixels
		rgw put data runs/other/ckpt theirs
	} >lab.log 2>&1
	[ "$(grep -c '^200' lab.log)" = 8 ] || { fail lab "$(cat lab.log)"; finish; }
	lab_policy policy.yaml
	lab_oidc="{issuer: $lab_issuer, public: publisher, listen: 127.0.0.1:$port$oidc}"
	lab_targets="[{name: lab, backend: aws-sts, endpoint: $rgw_url, region: us-east-1, issuer: $lab_issuer/x5c, service_endpoint: $rgw_url, revoker_role: 'arn:aws:iam:::role/revoker', loopback: true}$(! declare -F lab_more >/dev/null || lab_more)]"
}
lab_up() {
	lab_store
	dev_start --trust-domain $lab_td --policy policy.yaml --broker "oidc=$lab_oidc" --broker "cloud_targets=$lab_targets"
}
lab_policy() {
	cat >"$1" <<-EOF2
	mayfly_policy: 1
	profiles:
	  train:
	    purpose: training
	    owner: tests
	    max_job: 1h
	    drain: 60s
	    on_end: deny
	    identities: [{path: "/{tenant}/train/job/{job}"}]
	    cloud:
	      - name: data
	        target: lab
	        role: arn:aws:iam:::role/train
	        ttl: 1h
	        scope:
	          - {actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{dataset}*"]}
	          - {actions: ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], resources: ["arn:aws:s3:::data/runs/{run}/*"]}
	  brief:
	    purpose: training
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    on_end: deny
	    identities: [{path: "/{tenant}/train/job/{job}"}]
	    cloud:
	      - {name: data, target: lab, role: "arn:aws:iam:::role/train", ttl: 1m, scope: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{dataset}*"]}]}
	  upload:
	    purpose: training
	    owner: tests
	    max_job: 1h
	    drain: 5m
	    on_end: deny
	    identities: [{path: "/{tenant}/train/job/{job}"}]
	    cloud:
	      - name: data
	        target: lab
	        role: arn:aws:iam:::role/train
	        scope:
	          - {actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{dataset}*"]}
	          - {actions: ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], resources: ["arn:aws:s3:::data/runs/{run}/*"]}
	      - {name: spare, target: lab, role: "arn:aws:iam:::role/train", scope: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::{dataset}*"]}]}
	rules:
	  - {id: upload, effect: permit, profile: upload, owner: tests, review_by: 2099-01-01, nodes: any,
	     when: {contains: [attested.unix.uid, "$(id -u)"]}}
	  - {id: brief, effect: permit, profile: brief, owner: tests, review_by: 2099-01-01, nodes: any,
	     when: {contains: [attested.unix.uid, "$(id -u)"]}}
	  - {id: train, effect: permit, profile: train, owner: tests, review_by: 2099-01-01, nodes: any,
	     when: {contains: [attested.unix.uid, "$(id -u)"]}}
	EOF2
}
lab_manifest() {
	printf '{"mayfly_manifest": 1, "name": "%s", "kind": "train", "profile": "%s", "dataset": [{"uri": "s3://data/sets/imgs", "version": "1"}]%s}\n' \
	    "$1" "${3:-train}" "${2:+, \"run\": \"$2\"}" >"$1.json"
	echo "${3:-train}" >"$1.profile"
}
lab_run() {
	local name=$1
	shift
	# shellcheck disable=SC2016 # the job's shell's words
	mayfly run --profile "$(cat "$name.profile")" --manifest "$name.json" -- bash -c '
		run=$(mayfly whoami -o json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)[\"items\"][0][\"run\"])") || exit 99
		printf %s "$run" >"$0.run"
		exec "${@//RUN/$run}"' "$PWD/$name" "$@"
}
lab_creds() { RGW_CREDS=$1 rgw get data sets/imgs/1; }
