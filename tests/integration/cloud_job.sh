#!/bin/bash
# A cloud token from the provider to an unmodified SDK: a job's process finds it without configuration, on record before and
# after; served on without the broker and over restarts of the agent's front; a process outside of the job gets nothing.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/pair.sh"
scratch cloud_job
sts=$(free_port) oidc=$(free_port)
/usr/bin/python3 "$MAYFLY_TOP/tests/lib/sh/fake_sts.py" "$sts" >sts.log 2>&1 </dev/null &
sts_pid=$!
sts_stop() { kill "$sts_pid" 2>/dev/null || true; }
on_exit sts_stop
cat >policy.yaml <<'E2'
mayfly_policy: 1
profiles:
  train:
    purpose: training
    owner: team
    identities: [{path: "/{tenant}/train/job/{job}"}]
    cloud:
      - name: data
        target: lab
        role: arn:aws:iam::123456789012:role/train
        on_end: expire
        scope:
          - {actions: ["s3:GetObject", "s3:PutObject"], resources: ["arn:aws:s3:::lab-out/runs/{run}/*"]}
rules:
  - {id: train, effect: permit, profile: train, owner: team, review_by: 2099-02-01, nodes: any,
     when: {has: [attested.mayfly.run]}}
E2
pair_init oidc "{issuer: http://127.0.0.1:$oidc, public: publisher, listen: 127.0.0.1:$oidc}" \
    cloud_targets "[{name: lab, backend: aws-sts, endpoint: \"http://127.0.0.1:$sts/\", region: eu-1, loopback: true}]"
sed -i "s/^advertise:.*/advertise: 127.0.0.1:$P_LISTEN/" broker.yaml
broker_up
agent_up
# The job: asks once, then again for each line that it is told, and says what it got.
cat >job.sh <<'E2'
ask() { curl -s -m 30 -H "Authorization: $(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"; echo; }
env >env.job
ask
while read -r _; do ask; done
E2
mkfifo tell
AWS_ACCESS_KEY_ID=AKIAOFTHEUSER mayfly run --profile train -- sh job.sh <tell >said 2>job.err &
job=$!
exec 3>tell
said() { sed -n "$1p" said | grep "$2"; }
poll 60 said 1 ASIAFAKE && ok found || fail found "$(cat said job.err; tail -5 agent.log)"
key=$(head -1 said | json 'd["AccessKeyId"]')
says expires '^20' json 'd["Expiration"]' <<<"$(head -1 said)"
says region eu-1 grep AWS_REGION env.job
refuses users-key-is-gone grep AKIAOFTHEUSER env.job
says one-mint '^1$' grep -c AssumeRole sts.log
says intent 1 records cloud.intent
says issued 1 records cloud.issued
# The secret in hand, but outside of the job: the kernel says so.
uri=$(sed -n 's/^AWS_CONTAINER_CREDENTIALS_FULL_URI=//p' env.job) file=$(sed -n 's/^AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=//p' env.job)
says outside 'not of this job' curl -s -m 30 -H "Authorization: $(cat "$file")" "$uri"
says file-mode '^400$' stat -c %a "$file"
# From memory while the broker is away.
broker_down
echo >&3
poll 60 said 2 "$key" && ok broker-away || fail broker-away "$(cat said; tail -5 agent.log)"
broker_up 3>&-
# What the front held is gone with it; the endpoint is the same.
kill "$(role_pid agent-front)"
echo >&3
poll 60 said 3 ASIAFAKE && ok front-restarted || fail front-restarted "$(cat said; tail -5 agent.log)"
exec 3>&-
wait "$job" || fail job "$(cat job.err)"
refuses file-gone test -e "$file"
says over 'ended|not of this job' curl -s -m 30 -H "Authorization: cg-1.$(printf '%064d' 0)" "$uri"
refuses no-secret-in-logs grep -q secretkey broker.log agent.log
finish
