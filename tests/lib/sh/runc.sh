# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh: containers made by runc, with this machine's /usr read-only as their root.
#
#   container NAME ARG...   bundle in ./NAME that runs ARG...; CONTAINER_USERNS=1: in a user namespace, 0 -> 100000;
#                           CONTAINER_CGROUP=PATH: other than runc's own
#   container_start NAME    start it detached; its output is in ./NAME.out; deleted at the end of the script
#   runc_works              whether runc can start a container on this machine at all; else the reason is in runc.why
container() {
	local name=$1
	shift
	mkdir -p "$name/rootfs"/{usr,proc,dev,sys,tmp,etc} "$name/rootfs$PWD/run" "$name/rootfs$MAYFLY_TOP"
	chmod 755 "$name" "$name/rootfs"
	local d
	for d in bin sbin lib lib64; do [ ! -L /$d ] || cp -P /$d "$name/rootfs/$d"; done
	(cd "$name" && runc spec) || return 1
	/usr/bin/python3 - "$name/config.json" "$PWD/run" "$MAYFLY_TOP" "${CONTAINER_USERNS:-}" "${CONTAINER_CGROUP:-}" "$@" <<-'P'
	import json
	import sys
	path, run, top, userns, cgroup = sys.argv[1:6]
	c = json.load(open(path))
	c["process"]["terminal"] = False
	c["process"]["args"] = sys.argv[6:]
	c["process"].pop("rlimits", None)
	c["root"]["readonly"] = False
	c["mounts"] = [m for m in c["mounts"] if m["type"] in ("proc", "tmpfs", "devpts")]
	for d in ("/usr", run, top):
	    c["mounts"].append({"destination": d, "type": "bind", "source": d, "options": ["rbind", "ro"]})
	c["linux"].pop("resources", None)
	c["linux"].pop("seccomp", None)
	c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] not in ("network", "cgroup")]
	if userns:
	    c["linux"]["namespaces"].append({"type": "user"})
	    for k in ("uidMappings", "gidMappings"):
	        c["linux"][k] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
	if cgroup:
	    c["linux"]["cgroupsPath"] = cgroup
	json.dump(c, open(path, "w"))
	P
	[ -z "${CONTAINER_USERNS:-}" ] || chown -R 100000:100000 "$name/rootfs"
}
container_start() {
	on_exit runc delete -f "$1"
	runc run -d -b "$1" "$1" >"$1.out" 2>"$1.err" </dev/null
}
runc_works() {
	container probe true && runc run -b probe probe >/dev/null 2>runc.why </dev/null
	local rc=$?
	runc delete -f probe >/dev/null 2>&1
	return $rc
}
