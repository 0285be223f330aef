# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh: a machine of the test's own, made of this one: the files of / below an overlay in memory, with
# its own mounts, processes, network, host name and cgroups. Nothing that is done there touches the machine itself.
#
#   machine_can             prints why there can be none here; nothing when there can
#   machine_up WITH         boot it: WITH is `systemd` (systemd is process 1 there) or `nothing` (a shell that waits)
#   machine CMD...          run a command there, as root, in a clean environment
#   machine_sh SCRIPT       run a script of bash there
#   machine_down            end it and all that runs there (at the end of the test by itself)
#
# $PWD/share of the test is /mnt/share there. The log of systemd and its units: `machine journalctl`.
m_pid='' m_cgroup=''
machine_can() {
	local top
	[ "$(id -u)" = 0 ] || { echo "needs root: it makes mounts and cgroups"; return; }
	grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || { echo "the kernel has no overlayfs"; return; }
	top=$(m_cgroup2)
	[ -n "$top" ] && [ -w "$top" ] || { echo "no cgroup2 tree that can be written"; return; }
	unshare --mount --pid --uts --ipc --net --cgroup --fork true 2>/dev/null || echo "namespaces cannot be made here"
}
m_cgroup2() { sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -1; }
machine_up() {
	local child
	mkdir -p machine share
	m_cgroup=$(m_cgroup2)/mayfly-test-$$
	mkdir "$m_cgroup" || return 1
	on_exit machine_down
	(
		echo "$BASHPID" >"$m_cgroup/cgroup.procs" || exit 1
		exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child \
			/bin/bash "$MAYFLY_TOP/tests/lib/sh/machine_init.sh" "$PWD/machine" "$PWD/share" "$1"
	) </dev/null >machine.log 2>&1 &
	child=$!
	disown
	poll 60 m_booted "$child" || return 1
}
# The child of unshare is process 1 of the machine; it says so by a file when its root is in place.
m_booted() {
	m_pid=$(pgrep -P "$1") && [ -e share/.booted ] && machine true
}
machine() {
	# In the cgroup that a login would have: what is typed there is in no job.
	local session=$m_cgroup/user.slice/user-0.slice/session-1.scope
	(
		mkdir -p "$session" && echo "$BASHPID" >"$session/cgroup.procs" && m_enter "$@"
	)
}
m_enter() {
	exec nsenter -t "$m_pid" -m -u -i -n -p -C -r -w -- /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
machine_sh() { machine /bin/bash -c "$1"; }
machine_down() {
	[ -n "$m_cgroup" ] && [ -d "$m_cgroup" ] || return 0
	echo 1 >"$m_cgroup/cgroup.kill"
	poll 60 m_empty
	find "$m_cgroup" -depth -type d -exec rmdir {} \;
	m_pid='' m_cgroup=''
	rm -f share/.booted
}
m_empty() { grep -q '^populated 0' "$m_cgroup/cgroup.events"; }
