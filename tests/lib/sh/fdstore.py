"""A service manager for one service, as far as its sockets go: fdstore.py LINK ARG.... Runs the program that LINK points to, keeps the
descriptors that it sends (FDSTORE=1, sd_notify(3)), and passes them on (LISTEN_FDS, sd_listen_fds(3)). On SIGHUP the service is
stopped by SIGTERM and started again, from wherever LINK points to by then; SIGTERM stops it for good. Prints `started PID FDS`."""
import array
import os
import select
import signal
import socket
import sys

NOTIFY = os.path.abspath("notify.%d" % os.getpid())
kept = {}       # name -> descriptor
wish = {"stop": False, "again": False}
child = 0


def on_signal(number, _):
    wish["again" if number == signal.SIGHUP else "stop"] = True
    if child:
        os.kill(child, signal.SIGTERM)


def start():
    global child
    child = os.fork()
    if child:
        print("started", child, len(kept), flush=True)
        return
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    env = dict(os.environ, NOTIFY_SOCKET=NOTIFY)
    high = [os.dup(fd) for fd in kept.values()]
    for n, fd in enumerate(high):
        os.dup2(fd, 3 + n)
        os.set_inheritable(3 + n, True)
    if kept:
        env.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=":".join(kept))
    os.closerange(3 + len(kept), 256)
    path = os.path.realpath(sys.argv[1])
    os.execve(path, [path] + sys.argv[2:], env)


def take(notify):
    text, rest, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(4 * 8))
    said = dict(line.split("=", 1) for line in text.decode().split("\n") if "=" in line)
    for level, kind, data in rest:
        if (level, kind) != (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            continue
        fds = array.array("i", data[:len(data) // 4 * 4])
        for fd in fds:
            if said.get("FDSTORE") == "1":
                high = os.dup(fd)       # above those that a start puts in place
                kept[said.get("FDNAME", "stored")] = high
            os.close(fd)


# So that the places from 3 on are free for those that are passed.
low = [os.open("/dev/null", os.O_RDONLY) for _ in range(16)]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(NOTIFY)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM])
for s in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(s, on_signal)
start()
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP, signal.SIGTERM])
while True:
    if select.select([notify], [], [], 0.02)[0]:
        take(notify)
    pid, code = os.waitpid(child, os.WNOHANG)
    if pid == 0:
        continue
    while select.select([notify], [], [], 0)[0]:
        take(notify)
    if wish["stop"] or not wish["again"]:
        break
    wish["again"] = False
    start()
os.unlink(NOTIFY)
sys.exit(os.waitstatus_to_exitcode(code))
