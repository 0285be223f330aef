#!/usr/bin/python3
"""hostile.py HOW SOCKET STOP [N]: a job that means harm to the agent, until the file STOP is there. Prints one line, "ready ..." with what it
reached, when it is in full swing, and one at the end.

connects  N connections that say nothing, held; those that the agent closes are opened anew
streams   N connections with an open stream each, held; those that the agent closes are opened anew
slow      N connections with 50 streams each whose answers nobody takes (no bytes are read, windows of nothing)
forks     processes that connect, ask and die at once, whose sockets others then read; N at a time
floods    N connections after another with as much as they take: requests, resets, garbage"""
import contextlib
import os
import random
import resource
import select
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import jobcall  # noqa: E402

HOW, SOCK, STOP = sys.argv[1:4]
N = int(sys.argv[4]) if len(sys.argv) > 4 else 100
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def over():
    return os.path.exists(STOP)


def say(*what):
    print(*what, flush=True)


def dial():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(30)
    s.connect(SOCK)
    return s


def alive(s):
    """Takes what there is to read; false: the agent has closed it."""
    try:
        return s.recv(65536, socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def hold(greeting):
    """Closed ones are dialled again, so that the agent's caps are always under pressure."""
    dialled, held, poll = 0, {}, select.poll()

    def more():
        s = dial()
        with contextlib.suppress(OSError):
            s.sendall(greeting)
        held[s.fileno()] = s
        poll.register(s, select.POLLIN)

    def sweep(wait):
        gone = 0
        for fd, _ in poll.poll(wait):
            if not alive(held[fd]):
                poll.unregister(fd)
                held.pop(fd).close()
                gone += 1
        return gone

    while dialled < N:
        more()
        dialled += 1
        sweep(0)
    while sweep(1000) > 0:
        continue
    say("ready dialled %d held %d" % (dialled, len(held)))
    while not over():
        for _ in range(sweep(50)):
            if len(held) < 2000:
                more()
    say("end held %d" % len(held))


def connects():
    hold(b"")


def streams():
    hold(jobcall.opening() + jobcall.request(jobcall.X509))


def slow():
    held = []
    for _ in range(N):
        s = dial()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        shut = jobcall.frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00")  # INITIAL_WINDOW_SIZE 0
        ask = b"".join(jobcall.request(jobcall.X509, stream=2 * k + 1) for k in range(50))
        with contextlib.suppress(OSError):
            s.sendall(jobcall.PREFACE + (shut if len(held) % 2 else jobcall.frame(4, 0, 0)) + ask)
        held.append(s)
    say("ready connections %d streams %d" % (len(held), 50 * len(held)))
    while not over():
        time.sleep(0.05)
    say("end")


def ask_and_die(link):
    with contextlib.suppress(OSError):
        s = dial()
        s.sendall(jobcall.opening() + jobcall.request(jobcall.X509))
        socket.send_fds(link, [b"x"], [s.fileno()])
    os._exit(0)


def forks():
    """The child is dead when its answer is read, and its number soon another's: N children at a time, and what came on their sockets."""
    turns = ids = 0
    while not over() or turns < 2:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.settimeout(30)
        children = []
        for _ in range(N):
            pid = os.fork()
            if pid == 0:
                ask_and_die(theirs)  # does not return
            children.append(pid)
        for child in children:
            os.waitpid(child, 0)
        for _ in children:
            with contextlib.suppress(OSError):
                _, fds, _, _ = socket.recv_fds(ours, 16, 1, socket.MSG_DONTWAIT)
                s = socket.socket(fileno=fds[0])
                s.settimeout(0.02)
                with contextlib.suppress(OSError):
                    ids += b"spiffe://" in s.recv(65536)
                s.close()
        ours.close()
        theirs.close()
        turns += 1
        if turns == 2:
            say("ready processes %d" % (2 * N))
    say("end processes %d answers %d" % (turns * N, ids))


def floods():
    rnd, n = random.Random(7), 0
    kinds = [lambda: jobcall.opening() + b"".join(jobcall.request(jobcall.X509, stream=2 * k + 1) for k in range(100)),
             lambda: jobcall.opening() + b"".join(jobcall.request(jobcall.X509, stream=2 * k + 1) + jobcall.frame(3, 0, 2 * k + 1, b"\0\0\0\x08")
                                                  for k in range(400)),
             lambda: jobcall.opening() + jobcall.frame(6, 0, 0, b"12345678") * 2000,
             lambda: jobcall.opening() + jobcall.request(jobcall.X509, body=bytes(16000)) * 4,
             lambda: rnd.randbytes(20000)]
    while not over() or n < N:
        s = dial()
        with contextlib.suppress(OSError):
            s.sendall(kinds[n % len(kinds)]())
            s.settimeout(0.02)
            s.recv(4096)
        s.close()
        n += 1
        if n == N:
            say("ready connections %d" % n)
    say("end connections %d" % n)


{"connects": connects, "streams": streams, "slow": slow, "forks": forks, "floods": floods}[HOW]()
