"""Processes of other users and in other cgroups, for tests that call the agent from there. Needs root."""
import array
import contextlib
import os
import pickle
import signal
import socket

import jobcall


class Proc:
    """A forked process of ${uid}, in ${cgroup} if told so. It runs ${work}(self) and hands its result back; meanwhile
    both sides may say() and hear() on a socket pair, and pass descriptors."""

    def __init__(self, work, uid, cgroup=None, pid=None, inherit=None):
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = fork_as(pid) if pid else os.fork()
        if self.pid:
            theirs.close()
            return
        try:
            self.link.close()
            self.link = theirs
            if cgroup:
                join(cgroup, os.getpid())
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            self.say(work(self) if inherit is None else work(self, inherit))
        except BaseException as e:  # noqa: BLE001 the parent tells
            self.say({"ids": [], "messages": [], "status": None, "closed": False, "message": repr(e)})
        os._exit(0)

    def say(self, what, fd=None):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        self.link.sendmsg([pickle.dumps(what)], anc)

    def hear(self):
        ready = jobcall.select.select([self.link], [], [], 90)[0]
        if not ready:
            raise RuntimeError("a helper process says nothing")
        data, anc, _, _ = self.link.recvmsg(65536, 64)
        if not data:
            raise RuntimeError("a helper process is gone")
        self.fd = array.array("i", anc[0][2])[0] if anc else None
        return pickle.loads(data)

    def reap(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.link.close()

    def end(self):
        r = self.hear()
        self.reap()
        return r


def join(cgroup, pid):
    with open(cgroup + "/cgroup.procs", "w") as f:
        f.write(str(pid))


def fork_as(pid):
    """fork() with this number, which must be free: ns_last_pid, until no other process was quicker."""
    for _ in range(2000):
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write(str(pid - 1))
        child = os.fork()
        if child == 0:
            if os.getpid() == pid:
                return 0
            os._exit(0)
        if child == pid:
            return child
        os.waitpid(child, 0)
    raise RuntimeError("pid %d does not come round" % pid)
