#!/bin/bash
# systemd itself: a machine of the test's own on which it is process 1 and the packages are installed, by the commands of
# docs/how-to/install.md. The units as they are, with all their hardening: first start, reload, restart under a running job, an upgrade by dpkg, the end of jobs at a stop; and
# what the agent recognises of real transient units, template instances, slices and a user's own manager.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/machine.sh"
. "$MAYFLY_TOP/tests/lib/sh/deb.sh"
need dh dpkg-deb /lib/systemd/systemd
why=$(machine_can)
[ -z "$why" ] || { skip all "$why"; exit 0; }
scratch systemd
deb_build
deb_next
# A machine whose systemd does not come up shows nothing about ours.
if ! machine_up systemd || ! poll 60 machine_sh 'systemctl is-system-running | grep -qE "running|degraded"'; then
	skip all "systemd does not boot in namespaces here: $(tail -3 machine.log | tr '\n' ' ')"
	exit 0
fi
# page N: the Nth block of commands of the page, as it is; the packages are built already.
page() {
	{
		# shellcheck disable=SC2016
		echo 'set -e; mkdir -p /srv/clone; cd /srv/clone; deploy/deb/build.sh() { mkdir -p build/deb && cp /mnt/share/v1/*.deb build/deb/; }'
		awk -v want="$1" '/^```sh$/ { n++; on = n == want; next } /^```/ { on = 0 } on' "$MAYFLY_TOP/docs/how-to/install.md"
	} >"share/page-$1"
	grep -q '^[a-z(]' <(sed 1d "share/page-$1") && check "page-block-$1" machine bash "/mnt/share/page-$1"
}
page 1
says installed-is-not-enabled disabled machine_sh 'systemctl is-enabled mayfly-broker mayfly-agent || true'
says installed-is-not-started inactive machine_sh 'systemctl is-active mayfly-broker mayfly-agent || true'

# --- not set up: one try, and the cure in the status ---
cp "$MAYFLY_TOP/tests/lib/sh/fetch_id.py" "$MAYFLY_TOP/tests/lib/sh/jobcall.py" share/
refuses start-before-kek machine systemctl start mayfly-broker
says start-before-kek-is-final 'ActiveState=failed' machine systemctl show -p ActiveState mayfly-broker
machine_sh 'umask 077 && head -c 32 /dev/urandom >/etc/mayfly/kek'
refuses start-before-config machine systemctl start mayfly-broker
says start-before-config-says 'trust_domain' machine_sh 'systemctl status mayfly-broker || true'
machine sed -i.was 's/^#trust_domain:.*/trust_domain: example.org/' /etc/mayfly/broker.yaml
refuses start-before-init machine systemctl start mayfly-broker
says start-before-init-says "make one with 'mayfly-broker init'" machine_sh 'systemctl status mayfly-broker || true'
says start-before-init-is-final 'ActiveState=failed' machine systemctl show -p ActiveState mayfly-broker
refuses agent-before-token machine systemctl start mayfly-agent
says agent-before-token-says 'mayfly node token' machine_sh 'systemctl status mayfly-agent || true'
machine_sh 'rm /etc/mayfly/kek && mv /etc/mayfly/broker.yaml.was /etc/mayfly/broker.yaml'

# --- set up, by the page ---
page 2
state() { machine systemctl show -p ActiveState -p StatusText -p NRestarts "$@"; }
broker_serves() { machine mayfly node ls; }
says broker-tells-systemd 'StatusText=all roles serve' state mayfly-broker
state mayfly-broker | grep -qx ActiveState=active || finish
if machine systemd-creds encrypt --name=kek /etc/mayfly/kek /tmp/kek.cred >creds.log 2>&1; then
	page 3
	machine mv /etc/mayfly/kek /var/kek.elsewhere
	check encrypted-kek machine systemctl restart mayfly-broker
else
	skip encrypted-kek "systemd-creds cannot encrypt here: $(tail -1 creds.log)"
fi
poll 60 broker_serves
page 4
agent_serves() { machine mayfly node ls -o json | json 'd["items"][0]["state"]' | grep -qx connected; }
poll 60 agent_serves && ok agent-joins || { fail agent-joins "$(machine journalctl -u mayfly-agent --no-pager | tail -5)"; finish; }
page 5
page 6
says jobs-unit 'ActiveState=active' state mayfly-jobs
# The tables of the roles are in force under the unit's own: all three processes say so, and none was refused anything.
says confined 'landlock' machine_sh 'journalctl -o cat -u mayfly-broker | grep role.confined'
says attestor-has-its-mounts '"own_mounts":true' machine_sh 'journalctl -o cat -u mayfly-agent | grep role.confined | grep attestor'
# What the table of the attestor keeps (confinement.md), and nothing can come back: dac_read_search, sys_ptrace.
says attestor-has-two-capabilities '^0000000000080004 0000000000000000$' machine_sh 'awk "/^Cap(Eff|Bnd)/ { printf s \$2; s = \" \" } END { print \"\" }" /proc/$(pgrep -x attestor)/status'

# --- a policy for each kind of unit ---
profile() {	# NAME CONDITION
	cat >>profiles <<-E
	  $1:
	    purpose: test
	    owner: tests
	    max_job: 1h
	    drain: 0s
	    identities:
	      - {path: "/{tenant}/$1/job/{job}", hint: job, x509_ttl: 20m}
	    on_end: deny
	E
	echo "  - {id: $1, effect: permit, profile: $1, owner: tests, review_by: 2099-01-01, nodes: any, when: $2}" >>rules
}
profile long '{has: [attested.mayfly.run]}'
profile unit '{all: [{contains: [attested.systemd.unit, train.service]}, {contains: [attested.systemd.scope, system]}]}'
profile template '{contains: [attested.systemd.unit, "mf-eval@7.service"]}'
profile slice '{contains: [attested.systemd.slice, "mf-gpu.slice"]}'
profile scope '{contains: [attested.systemd.unit, mf-batch.scope]}'
profile user '{contains: [attested.systemd.unit, "user@4002.service/train.service"]}'
{ echo 'mayfly_policy: 1'; echo profiles:; cat profiles; echo rules:; cat rules; } >share/policy.yaml
machine cp /mnt/share/policy.yaml /etc/mayfly/policy.yaml

check policy machine mayfly policy reload
quiet() {	# no word of a violation, a warning or an error
	local out
	out=$(machine_sh 'journalctl -o cat -u mayfly-broker -u mayfly-agent --since="$(cat /run/mark 2>/dev/null)" | grep -E "violation|\"level\":\"(warn|error)\"|role.exited"')
	[ -z "$out" ] && ok "$1" || fail "$1" "$out"
}
machine_sh 'date "+%F %T" >/run/mark'

# --- real units ---
run='/usr/bin/python3 /mnt/share/fetch_id.py /run/mayfly/agent.sock'
says unit '/unit/job/' machine systemd-run --quiet --wait --pipe --unit=train.service $run
says unit-of-another-name 'no identity issued' machine systemd-run --quiet --wait --pipe --unit=train2.service $run
machine_sh "printf '[Service]\nType=oneshot\nExecStart=$run\nStandardOutput=file:/mnt/share/%%i.out\n' >/run/systemd/system/mf-eval@.service && systemctl daemon-reload"
check template-runs machine systemctl start mf-eval@7.service
says template '/template/job/' cat share/7.out
machine systemctl start mf-eval@8.service
says template-of-another-instance 'no identity issued' cat share/8.out
says slice '/slice/job/' machine systemd-run --quiet --wait --pipe --slice=mf-gpu.slice $run
says scope '/scope/job/' machine systemd-run --quiet --scope --unit=mf-batch.scope $run
says sandboxed-unit '/unit/job/' machine systemd-run --quiet --wait --pipe --unit=train.service -p DynamicUser=yes -p PrivateTmp=yes -p PrivateMounts=yes -p ProtectSystem=strict $run
# A user's own manager: the name is theirs, so the selector carries whose it is.
machine useradd -u 4002 -m mfalice
if machine systemctl start user@4002.service 2>err; then
	as_user="setpriv --reuid=4002 --regid=4002 --init-groups env XDG_RUNTIME_DIR=/run/user/4002 HOME=/home/mfalice"
	says user-unit '/user/job/' machine_sh "$as_user systemd-run --user --quiet --wait --pipe --unit=train.service $run"
	says user-unit-is-not-the-systems 'no identity issued' machine_sh "$as_user systemd-run --user --quiet --wait --pipe --unit=train9.service $run"
else
	skip user-unit "no user manager here: $(tr '\n' ' ' <err)"
fi
quiet no-complaint

# --- a job of `mayfly run`: where it is, restarts, crashes ---
deb_job
poll 60 [ -s share/id ] && grep -q '/long/job/' share/id && ok job || fail job "$(cat share/job.log)"
says job-is-in-its-unit '/system.slice/mayfly-jobs.service/' machine_sh 'cat /proc/$(pgrep -xf "sleep 86400")/cgroup'
check restart-agent machine systemctl restart mayfly-agent
deb_same_job && ok job-survives-a-restart || fail job-survives-a-restart "$(cat share/id share/job.log)"
machine_sh 'kill -9 $(systemctl show -p MainPID --value mayfly-agent)'
deb_same_job && ok job-survives-a-crash || fail job-survives-a-crash "$(cat share/id share/job.log)"
restarted() { state "$1" | grep -qx 'NRestarts=1' && state "$1" | grep -qx ActiveState=active; }
poll 60 restarted mayfly-agent && ok agent-comes-back || fail agent-comes-back "$(state mayfly-agent)"
machine_sh 'kill -9 $(systemctl show -p MainPID --value mayfly-broker)'
poll 60 restarted mayfly-broker && ok broker-comes-back || fail broker-comes-back "$(state mayfly-broker)"
poll 60 agent_serves

# --- reload: what is wrong is told, and changes nothing ---
check reload machine systemctl reload mayfly-broker
machine mv /etc/mayfly/policy.yaml /etc/mayfly/policy.away
machine systemctl reload mayfly-broker
reload_failed() { state mayfly-broker | grep -q 'StatusText=reload failed.*policy.yaml'; }
poll 60 reload_failed && ok reload-tells-what-is-wrong || fail reload-tells-what-is-wrong "$(state mayfly-broker)"
machine mv /etc/mayfly/policy.away /etc/mayfly/policy.yaml
machine systemctl reload mayfly-broker
reload_good() { state mayfly-broker | grep -qx 'StatusText=all roles serve'; }
poll 60 reload_good && ok reload-heals || fail reload-heals "$(state mayfly-broker)"
deb_same_job && ok job-survives-the-broker || fail job-survives-the-broker "$(cat share/id share/job.log)"

# --- an upgrade restarts what runs, and only that ---
pid() { machine systemctl show -p MainPID --value "$1"; }
agent_was=$(pid mayfly-agent) broker_was=$(pid mayfly-broker) jobs_was=$(pid mayfly-jobs)
check upgrade machine_sh 'dpkg -i /mnt/share/v2/*.deb </dev/null >/mnt/share/upgrade.log 2>&1 || { cat /mnt/share/upgrade.log; exit 1; }'
[ "$(pid mayfly-agent)" != "$agent_was" ] && [ "$(pid mayfly-broker)" != "$broker_was" ] && ok upgrade-restarts || fail upgrade-restarts "$(cat share/upgrade.log)"
[ "$(pid mayfly-jobs)" = "$jobs_was" ] && ok upgrade-leaves-the-jobs || fail upgrade-leaves-the-jobs "$(cat share/upgrade.log)"
poll 60 agent_serves
deb_same_job && ok job-survives-the-upgrade || fail job-survives-the-upgrade "$(cat share/id share/job.log)"

# --- a removal under a running job leaves it; one without ends it all ---
out=$(machine_sh 'dpkg -r mayfly-agent </dev/null 2>&1')
grep -q 'jobs are running' <<<"$out" && machine_sh 'pgrep -xf "sleep 86400"' >/dev/null && ok removal-leaves-jobs || fail removal-leaves-jobs "$out"
check again machine_sh 'dpkg -i /mnt/share/v2/mayfly-agent_*.deb </dev/null 2>&1 && systemctl start mayfly-agent'
deb_same_job && ok job-is-taken-up-again || fail job-is-taken-up-again "$(cat share/id share/job.log)"
# A stop of the jobs ends them while there is an agent to tell it, as a shutdown of the machine does.
job=$(sed 's/.*\///' share/id)
check stop-jobs machine systemctl stop mayfly-jobs
ended() { machine mayfly job show "$job" -o json | grep -q '"ended"'; }
poll 60 ended && ok stopped-jobs-have-ended || fail stopped-jobs-have-ended "$(machine mayfly job ls --all)"
check log-verifies machine mayfly audit verify
page 7
out=$(machine_sh 'dpkg -P mayfly-agent mayfly-broker </dev/null 2>&1') && ok purge || fail purge "$out"
says nothing-runs '^$' machine_sh 'systemctl list-units --no-legend --all "mayfly*"; pgrep -a mayfly; true'
check nothing-failed machine_sh '[ -z "$(systemctl --failed --no-legend | grep mayfly)" ]'
finish
