#!/usr/bin/python3
"""Processes that try to get an identity that is not theirs. Run by foreign_identity.sh, as root, against a real agent.

argv: SOCKET JOB-A CGROUP-A JOB-B CGROUP-B PID-OF-AGENT-FRONT PID-OF-ATTESTOR CALLER-CHECK
Users: 4001 may have an identity as a plain process; 4002 owns both jobs and may have none outside them; 4003 none."""
import contextlib
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib", "sh"))
import jobcall  # noqa: E402
from procs import Proc, join  # noqa: E402

SOCK, JOB_A, CG_A, JOB_B, CG_B = sys.argv[1:6]
FRONT, ATTESTOR = int(sys.argv[6]), int(sys.argv[7])
LEGACY = sys.argv[8:] == ["legacy"]
PLAIN, OWNER, STRANGER = 4001, 4002, 4003
failed = 0


def verdict(name, good, why=""):
    global failed
    failed += not good
    print("ok " + name if good else "FAIL %s: %s" % (name, why), flush=True)


def nothing(name, r):
    """No identity came, whatever else was said."""
    verdict(name, not r["ids"] and not r["messages"] and (r["closed"] or r["status"] not in (None, "0")), r)


def is_job(name, r, job):
    verdict(name, len(r["ids"]) == 1 and r["ids"][0].endswith("/" + job), r)


def sock_of(fd):
    return socket.socket(fileno=fd)


def speak(s, stream=1, opening=True, **kw):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        s.sendall((jobcall.opening() if opening else b"") + jobcall.request(jobcall.X509, stream=stream, **kw))


def fetch(_p, **kw):
    return jobcall.fetch(SOCK, **kw)


def sleeper(p):
    p.say("here")
    time.sleep(600)


# --- what must work, so that the refusals mean something ---
is_job("a-member-of-a-gets-a", Proc(fetch, OWNER, CG_A).end(), JOB_A)
is_job("a-member-of-b-gets-b", Proc(fetch, OWNER, CG_B).end(), JOB_B)
plain = Proc(fetch, PLAIN).end()
verdict("a-plain-process-gets-its-own", len(plain["ids"]) == 1 and "/plain/" in plain["ids"][0], plain)
for who, uid in (("stranger", STRANGER), ("owner-outside", OWNER)):
    r = Proc(fetch, uid).end()
    nothing(who + "-gets-nothing", r)
    verdict(who + "-is-told-so", r["status"] == "7" and "no identity issued" in r["message"], r)


# --- (a) PID reuse ---
def reuse(name, victim_uid, victim_cgroup, speak_before):
    """A process connects, leaves the socket to its child, dies; its number goes to the victim. With ${speak_before} its
    request is already in the socket when it dies, and the agent is held still until the number is the victim's."""

    def client(p):
        s = jobcall.connect(SOCK)
        if speak_before:
            speak(s)
        p.say("connected", s.fileno())
        p.hear()

    if speak_before:
        os.kill(FRONT, signal.SIGSTOP)
        os.kill(ATTESTOR, signal.SIGSTOP)
    try:
        c = Proc(client, OWNER)
        c.hear()
        s, pid = sock_of(c.fd), c.pid
        c.reap()
        try:
            victim = Proc(sleeper, victim_uid, victim_cgroup, pid=pid)
        except (RuntimeError, OSError) as e:
            print("skipped %s: %s" % (name, e))
            return
        victim.hear()
    finally:
        if speak_before:
            os.kill(ATTESTOR, signal.SIGCONT)
            os.kill(FRONT, signal.SIGCONT)

    def helper(p, s):
        if not speak_before:
            speak(s)
        return jobcall.Reader(s).answer()

    assert victim.pid == pid
    nothing(name, Proc(helper, OWNER, inherit=s).end())
    victim.reap()
    s.close()


for turn in range(5):
    reuse("pid-reuse-by-a-member-of-b-%d" % turn, OWNER, CG_B, False)
    reuse("pid-reuse-after-the-request-%d" % turn, OWNER, CG_B, True)
    reuse("pid-reuse-by-a-plain-process-%d" % turn, PLAIN, None, True)


# --- (b) passing descriptors ---
def member(p):
    """In a job: connect, be attested, pass the socket on, live."""
    s = jobcall.connect(SOCK)
    speak(s)
    r = jobcall.Reader(s).answer()
    p.say(r, s.fileno())
    time.sleep(600)


def fresh(p):
    """Connect, pass the socket on before a byte was written, live."""
    s = jobcall.connect(SOCK)
    p.say("connected", s.fileno())
    time.sleep(600)


def first(p, s):
    speak(s)
    return jobcall.Reader(s).answer()


class _Blind:
    """Header blocks of a connection whose beginning somebody else has read cannot be decoded, nor need they be."""

    def headers(self, block):
        return {"grpc-status": "not decoded"}


def passed(name, giver_work, giver_uid, giver_cgroup, taker_uid, taker_cgroup):
    giver = Proc(giver_work, giver_uid, giver_cgroup)
    got = giver.hear()
    s = sock_of(giver.fd)
    if giver_work is member:
        verdict(name + "-was-attested", len(got["ids"]) == 1, got)

        def taker(p, s):
            speak(s, stream=3, opening=False)
            return jobcall.Reader(s, _Blind()).answer(stream=3)
    else:
        taker = first
    nothing(name, Proc(taker, taker_uid, taker_cgroup, inherit=s).end())
    s.close()
    giver.reap()


passed("attested-socket-to-a-stranger", member, OWNER, CG_A, STRANGER, None)
passed("attested-socket-to-the-same-user", member, OWNER, CG_A, OWNER, None)
passed("attested-socket-to-another-job", member, OWNER, CG_A, OWNER, CG_B)
passed("attested-socket-to-root", member, OWNER, CG_A, 0, None)
passed("fresh-socket-to-the-same-user", fresh, OWNER, CG_A, OWNER, None)
passed("fresh-socket-to-another-job", fresh, OWNER, CG_A, OWNER, CG_B)
passed("outsiders-socket-into-a-job", fresh, OWNER, None, OWNER, CG_A)
passed("plain-attested-socket-to-same-user", member, PLAIN, None, PLAIN, None)


# Half of a request each: the member writes the head, the outsider the rest.
def half(p):
    s = jobcall.connect(SOCK)
    s.sendall(jobcall.opening())
    p.say("begun", s.fileno())
    time.sleep(600)


def rest(p, s):
    speak(s, opening=False)
    return jobcall.Reader(s).answer()


for who, uid, cg in (("same-user", OWNER, None), ("another-job", OWNER, CG_B), ("stranger", STRANGER, None)):
    giver = Proc(half, OWNER, CG_A)
    giver.hear()
    s = sock_of(giver.fd)
    nothing("half-a-request-by-" + who, Proc(rest, uid, cg, inherit=s).end())
    s.close()
    giver.reap()
# Two members of one job may share a connection: the check is on the instance, not on one process.
giver = Proc(fresh, OWNER, CG_A)
giver.hear()
shared = Proc(first, OWNER, CG_A, inherit=sock_of(giver.fd)).end()
if LEGACY:  # without pidfds the second one cannot be told from anybody else: refused
    nothing("only-who-connected-may-speak", shared)
else:
    is_job("two-members-share-a-connection", shared, JOB_A)
giver.reap()


# --- (c) connect, then exec (and be moved in) ---
def connect_then_exec(p):
    s = jobcall.connect(SOCK)
    child = os.fork()
    if child == 0:  # stays outside with the descriptor
        with open("/proc/self/cgroup") as f:
            before = f.read()
        p.say({"child": os.getpid(), "cgroup": before})
        p.hear()
        speak(s)
        p.say(jobcall.Reader(s).answer())
        os._exit(0)
    s.set_inheritable(False)
    os.read(int(p.hear()), 1)  # until it was moved in
    os.execv("/bin/sleep", ["mayfly", "600"])


for cgroup, name in ((CG_A, "connect-then-exec-inside"), (None, "connect-then-exec-outside")):
    r_fd, w_fd = os.pipe()
    p = Proc(connect_then_exec, OWNER)
    os_child = p.hear()
    p.say(r_fd)  # both read from the pair: one takes this, so say it twice
    p.say(r_fd)
    if cgroup:
        join(cgroup, p.pid)
    os.write(w_fd, b"x")
    nothing(name, p.hear())
    p.reap()
    os.close(r_fd)
    os.close(w_fd)


# --- (d) two processes of one user without a cgroup of their own ---
def two(p):
    one = jobcall.fetch(SOCK)
    p.say(one)
    p.hear()
    return jobcall.fetch(SOCK)


p1, p2 = Proc(two, PLAIN), Proc(two, PLAIN)
a1, b1 = p1.hear(), p2.hear()
p1.say("again")
p2.say("again")
a2, b2 = p1.end(), p2.end()
verdict("two-plain-processes-differ", len(a1["ids"]) == len(b1["ids"]) == 1 and a1["ids"] != b1["ids"], (a1, b1))
verdict("each-plain-process-keeps-its-own", a1["ids"] == a2["ids"] and b1["ids"] == b2["ids"], (a1, a2, b1, b2))


def with_child(p):
    """A child of an attested process is another process: it gets its own identity, and nothing on the parent's socket."""
    s = jobcall.connect(SOCK)
    speak(s)
    mine = jobcall.Reader(s).answer()
    p.say(mine)
    if os.fork() == 0:
        p.say(jobcall.fetch(SOCK))
        speak(s, stream=3, opening=False)
        p.say(jobcall.Reader(s, _Blind()).answer(stream=3))
        os._exit(0)
    time.sleep(600)


p = Proc(with_child, PLAIN)
mine, childs, on_parents = p.hear(), p.hear(), p.hear()
verdict("a-child-has-its-own", len(childs["ids"]) == 1 and childs["ids"] != mine["ids"], (mine, childs))
nothing("a-child-on-its-parents-socket", on_parents)
p.reap()


# --- (e) joining a job's cgroup ---
def join_as(p):
    try:
        join(CG_A, os.getpid())
        how = "joined"
    except OSError as e:
        how = type(e).__name__
    try:
        os.mkdir(CG_A + "/sub")
        how += " and made a cgroup below"
    except OSError as e:
        how += " " + type(e).__name__
    return how


for name, uid, cg in (("same-user", OWNER, None), ("stranger", STRANGER, None), ("member-of-b", OWNER, CG_B)):
    r = Proc(join_as, uid, cg).end()
    verdict("no-joining-by-" + name, r == "PermissionError PermissionError", r)


# --- (f) claims ---
def claims(p):
    os.environ.update(MAYFLY_JOB=JOB_B, MAYFLY_INSTANCE=JOB_B + "/n1", SLURM_JOB_ID="1", KUBERNETES_POD_NAME=JOB_B)
    more = [("mayfly-job", JOB_B), ("mayfly-uid", "0"), ("x-forwarded-for", "root"), ("mayfly-instance", JOB_B + "/n1"),
            ("mayfly-pid", str(os.getppid()))]
    return jobcall.fetch(SOCK, more=more)


is_job("claims-by-a-member-of-a", Proc(claims, OWNER, CG_A).end(), JOB_A)
nothing("claims-by-the-owner-outside", Proc(claims, OWNER).end())
nothing("claims-by-a-stranger", Proc(claims, STRANGER).end())
r = Proc(lambda p: jobcall.fetch(SOCK, security=False), OWNER, CG_A).end()
nothing("no-security-header-no-identity", r)
verdict("no-security-header-is-told", r["status"] == "3", r)


def named(p):
    """argv and the process's name say it is the job's."""
    os.execve("/usr/bin/python3", ["mayfly", "-c", """
import pickle, socket, sys, ctypes
sys.path.insert(0, %r)
import jobcall
ctypes.CDLL(None).prctl(15, b"trainer", 0, 0, 0)
socket.socket(fileno=%d).send(pickle.dumps(jobcall.fetch(%r)))
""" % (os.path.dirname(jobcall.__file__), p.link.fileno(), SOCK), JOB_B],
        {"MAYFLY_JOB": JOB_B, "PATH": "/usr/bin:/bin"})


def named_outer(p):
    p.link.set_inheritable(True)
    named(p)


is_job("argv-of-a-member-of-a", Proc(named_outer, OWNER, CG_A).end(), JOB_A)
nothing("argv-of-the-owner-outside", Proc(named_outer, OWNER).end())

# --- at the end both jobs are still themselves ---
is_job("a-is-still-a", Proc(fetch, OWNER, CG_A).end(), JOB_A)
is_job("b-is-still-b", Proc(fetch, OWNER, CG_B).end(), JOB_B)
sys.exit(1 if failed else 0)
