#!/bin/bash
# Process 1 of a test's own machine (machine.sh), in namespaces of its own: makes its root, enters it, becomes its init.
# Arguments: a directory to mount on, a directory to show as /mnt/share, and systemd or nothing.
set -e
dir=$1 share=$2 with=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
root=$dir/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for d in null zero full random urandom tty; do
	: >"$root/dev/$d"
	mount --bind "/dev/$d" "$root/dev/$d"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/mnt/share" "$root/mnt/old"
mount --bind "$share" "$root/mnt/share"
# As it is after its installation: no word of containers' images that services must not start.
rm -f "$root/usr/sbin/policy-rc.d"
: >"$root/etc/machine-id"
cd "$root"
pivot_root . mnt/old
cd /
umount -l /mnt/old
rmdir /mnt/old
# As systemd has it outside of containers: what is mounted for a unit (its credentials) is seen in the unit's namespace.
mount --make-rshared /
hostname machine
: >/mnt/share/.booted
if [ "$with" = systemd ]; then
	# Only what a unit may depend on: what this machine has enabled besides is not started.
	exec env -i container=mayfly-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target \
		--log-target=console --show-status=no </dev/null
fi
ip link set lo up
# bash reaps whatever is left to it.
while :; do
	sleep 3600 &
	wait $!
done
