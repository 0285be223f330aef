#!/usr/bin/python3
"""ranks.py SOCKET DIR: a tree like torchrun's, 4 ranks with 2 loaders each (multiprocessing), and what gets away from its parents:
a daemon (double fork, setsid), an orphan, a program started anew. Each process asks for its identity and writes DIR/<name>. The
leader and all but the daemon end by themselves; the daemon waits for DIR/release."""
import multiprocessing
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import jobcall  # noqa: E402

SOCK, DIR = sys.argv[1:3]


def ask(name):
    r = jobcall.fetch(SOCK)
    with open("%s/.%s" % (DIR, name), "w") as f:
        f.write("%s\n" % (" ".join(r["ids"]) or "status %s %s" % (r["status"], r["message"])))
    os.rename("%s/.%s" % (DIR, name), "%s/%s" % (DIR, name))


def loader(rank, n):
    ask("loader-%d-%d" % (rank, n))


def rank(n):
    children = [multiprocessing.Process(target=loader, args=(n, k)) for k in range(2)]
    for c in children:
        c.start()
    ask("rank-%d" % n)
    for c in children:
        c.join()


def away(name, fork_first, then):
    """${then} in a process whose parent is gone; with a session of its own when ${fork_first}."""
    if os.fork() == 0:
        if fork_first:
            os.setsid()
        me = os.getpid()
        if os.fork() == 0:
            while os.getppid() == me:
                time.sleep(0.005)
            ask(name)
            then()
        os._exit(0)
    os.wait()


def until_released():
    while not os.path.exists(DIR + "/release"):
        time.sleep(0.02)


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    ranks = [multiprocessing.Process(target=rank, args=(n,)) for n in range(4)]
    for p in ranks:
        p.start()
    ask("leader")
    away("orphan", False, lambda: None)
    away("daemon", True, until_released)
    with open(DIR + "/exec", "w") as f:
        subprocess.run(["/usr/bin/python3", HERE + "/fetch_id.py", SOCK], stdout=f, stdin=subprocess.DEVNULL, check=True)
    for p in ranks:
        p.join()
