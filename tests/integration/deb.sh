#!/bin/bash
# The Debian packages: made of the programs in build/, installed on a machine of the test's own (no systemd there: systemd.sh
# has that), set up as their README says, upgraded under a running job, removed, purged: nothing is left.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/machine.sh"
. "$MAYFLY_TOP/tests/lib/sh/deb.sh"
need dh dpkg-deb openssl
why=$(machine_can)
[ -z "$why" ] || { skip all "$why"; exit 0; }
scratch deb
deb_build
deb_next
if command -v lintian >/dev/null; then
	# The packages are not in Debian's archive: no bug was closed by them, and their maintainer has no mail
	# address. These ones are not compressed, to save time (deb_build).
	out=$(lintian --fail-on error,warning --suppress-tags \
		bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs,uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball \
		share/v1/*.changes 2>&1) &&
		ok lintian || fail lintian "$out"
else
	skip lintian "lintian is not installed (deploy/deps.sh test)"
fi

machine_up nothing || { fail machine "$(cat machine.log)"; finish; }
machine mkdir /sys/fs/cgroup/system.slice
# Where packages and daemons put files, but for what apt, dpkg and systemd keep for themselves, and what is remembered of any
# account that ever was.
files() {
	machine_sh 'find /boot /etc /lib* /opt /run /srv /usr /var -xdev \( -path /var/lib/dpkg -o -path /var/cache -o -path /var/log \
		-o -path /var/tmp -o -path /var/lib/systemd -o -path /run/systemd \) -prune -o -print |
		grep -vE "^/etc/(passwd|group|g?shadow|subuid|subgid|ld.so.cache)-?$|^/etc/.pwd.lock$" | sort'
}
files >before

# --- installed, and nothing more ---
check install machine_sh 'dpkg -i /mnt/share/v1/*.deb >/mnt/share/install.log 2>&1 || { cat /mnt/share/install.log; exit 1; }'
grep -q 'mayfly-broker init --kek' share/install.log && grep -q 'join-token' share/install.log && ok install-says-what-next ||
	fail install-says-what-next "$(cat share/install.log)"
[ "$(machine ls /usr/libexec/mayfly)" = "$(ls "$MAYFLY_BUILD/libexec/mayfly")" ] && ok all-roles || fail all-roles "$(machine ls /usr/libexec/mayfly)"
for u in mayfly-front mayfly-notary mayfly-verifier mayfly-courier mayfly-publisher mayfly-agent mayfly-resolver; do
	says "user-$u" 'nologin$' machine getent passwd "$u"
done
says admin-group mayfly-admin machine getent group mayfly-admin
check dependencies machine apt-get check
out=$(machine_sh 'cd /lib/systemd/system && systemd-analyze verify mayfly-broker.service mayfly-agent.service mayfly-jobs.service' 2>&1)
[ -z "$out" ] && ok units-verify || fail units-verify "$out"
for u in broker:32 agent:40 jobs:15; do
	check "units-exposure-${u%:*}" machine systemd-analyze security --no-pager --offline=yes --threshold="${u#*:}" "mayfly-${u%:*}.service"
done
says conffiles '/etc/mayfly/policy.yaml' machine dpkg-query -W -f '${Conffiles}' mayfly-broker
check policy-of-the-package machine mayfly policy lint /etc/mayfly/policy.yaml
says man 'MAYFLY-BROKER' machine_sh 'man -P cat mayfly-broker'
says man-library 'mayfly_verify' machine_sh 'man -P cat mayfly_verify'
cp -r "$MAYFLY_TOP/examples" share/
check examples-build machine_sh 'for f in /mnt/share/examples/*.c; do gcc -o /tmp/example "$f" $(pkg-config --cflags --libs libmayfly libmayfly-openssl) && ldd /tmp/example | grep -q "libmayfly.so.0 => /" || exit 1; done'

# --- not set up: it says so, by the exit code that no service manager takes for a reason to try again ---
says run-before-config 'rc=2' machine_sh 'mayfly-broker run 2>&1; echo rc=$?'
says run-before-config-says 'trust_domain' machine_sh 'mayfly-broker run 2>&1; true'
machine sed -i 's/^#trust_domain:.*/trust_domain: deb.example/; s/^listen:.*/listen: 127.0.0.1:8461/' /etc/mayfly/broker.yaml
says run-before-init "make a broker with 'mayfly-broker init'" machine_sh 'CREDENTIALS_DIRECTORY=/etc/mayfly mayfly-broker run 2>&1; [ $? = 2 ]'
says run-before-token 'mayfly node token' machine_sh 'mayfly-agent run 2>&1; [ $? = 2 ]'

# --- set up as README.Debian says ---
dev_policy share/policy.yaml
machine cp /mnt/share/policy.yaml /etc/mayfly/policy.yaml
check init machine mayfly-broker init --kek-credential= --kek-file=/etc/mayfly/kek
says kek-is-roots-only '^400 root' machine stat -c '%a %U' /etc/mayfly/kek
daemon() {	# NAME VARIABLE...: as its unit would
	local name=$1
	shift
	machine_sh "$* setsid mayfly-$name run </dev/null >>/var/log/mayfly-$name.log 2>&1 & echo \$! >/run/mayfly-$name.pid"
}
broker_serves() { machine_sh 'mayfly node ls && curl -sf -o /dev/null http://127.0.0.1:8463/readyz'; }
agent_serves() { machine mayfly node ls -o json | json 'd["items"][0]["state"]' | grep -qx connected; }
daemon broker CREDENTIALS_DIRECTORY=/etc/mayfly
poll 60 broker_serves && ok broker-serves || fail broker-serves "$(machine tail -5 /var/log/mayfly-broker.log)"
check token machine_sh 'umask 077 && mayfly node token >/etc/mayfly/join-token'
daemon agent
poll 60 agent_serves && ok agent-joins || fail agent-joins "$(machine tail -5 /var/log/mayfly-agent.log)"
says roles-have-users '^mayfly-notary' machine ps -o user:20=,comm= -C notary
says front-has-a-user '^mayfly-agent' machine ps -o user:20=,comm= -C agent-front
deb_job
poll 60 [ -s share/id ] && grep -q '^spiffe://deb.example/' share/id && ok job-has-its-identity || fail job-has-its-identity "$(cat share/job.log)"
says job-is-where-jobs-are '/system.slice/mayfly-jobs.service/' machine_sh 'cat /proc/$(pgrep -xf "sleep 86400")/cgroup'
check dev-finds-the-daemons machine_sh 'mayfly dev --state /tmp/dev >/tmp/dev.out 2>/tmp/dev.log & p=$!; for i in $(seq 600); do grep -qx ready /tmp/dev.out && break; sleep 0.1; done
	kill $p; wait $p; grep -qx ready /tmp/dev.out || { tail -3 /tmp/dev.log; exit 1; }'

# --- upgrade, with the job running on ---
machine_stop() { machine_sh "kill \$(cat /run/mayfly-$1.pid) && while kill -0 \$(cat /run/mayfly-$1.pid) 2>/dev/null; do sleep 0.05; done"; }
check upgrade machine_sh 'dpkg -i /mnt/share/v2/*.deb </dev/null >/mnt/share/upgrade.log 2>&1 || { cat /mnt/share/upgrade.log; exit 1; }'
says upgraded "^$deb_v2\$" machine dpkg-query -W -f '${Version}\n' mayfly-agent
check changed-file-is-kept machine cmp /mnt/share/policy.yaml /etc/mayfly/policy.yaml
says untouched-file-is-new 'of the next revision' machine cat /etc/mayfly/agent.yaml
machine_stop agent
machine_stop broker
daemon broker CREDENTIALS_DIRECTORY=/etc/mayfly
daemon agent
poll 60 broker_serves && poll 60 agent_serves && ok serves-after-upgrade || fail serves-after-upgrade "$(machine tail -3 /var/log/mayfly-agent.log)"
deb_same_job && ok job-survives-the-upgrade || fail job-survives-the-upgrade "$(cat share/id share/job.log)"
check log-verifies machine mayfly audit verify

# --- removed: the state stays; purged: it is said, and nothing is left ---
machine_stop agent
machine_stop broker
machine pkill -xf 'sleep 86400'
check remove machine_sh 'dpkg -r mayfly mayfly-broker mayfly-agent libmayfly0 libmayfly-dev 2>&1 </dev/null'
check state-stays machine_sh '[ -e /var/lib/mayfly/broker/FORMAT ] && [ -e /var/lib/mayfly/agent/broker ] && [ -e /etc/mayfly/broker.yaml ] && [ ! -e /usr/sbin/mayfly-broker ]'
out=$(machine_sh 'dpkg -P mayfly mayfly-broker mayfly-agent libmayfly0 libmayfly-dev 2>&1 </dev/null') && ok purge || fail purge "$out"
grep -q 'deleting /var/lib/mayfly/broker' <<<"$out" && grep -q 'deleting /var/lib/mayfly/agent' <<<"$out" && ok purge-says-what || fail purge-says-what "$out"
machine rm -f /run/mayfly-broker.pid /run/mayfly-agent.pid
files >after
diff before after >left && ok nothing-is-left || fail nothing-is-left "$(cat left)"
finish
