#!/usr/bin/python3
"""Bytes that nobody should send, to a Unix socket (path) or to a TLS port (HOST:PORT): raw, and within TLS without a
certificate. Each connection must be answered or closed, never hang for ever, and never hurt the server.

argv: NAME TARGET. Prints ok or FAIL for each; whether the server still works is the caller's to look at."""
import os
import random
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib", "sh"))
import jobcall  # noqa: E402
from jobcall import frame  # noqa: E402

NAME, TARGET = sys.argv[1:3]
rnd = random.Random(20260101)  # the same bytes each time
P, O = jobcall.PREFACE, jobcall.opening()
PATHS = {"admin": "/mayfly.admin.v1.Admin/ListNodes", "tls": "/mayfly.agent.v1.NodeAgent/Session"}
PATH = PATHS.get(NAME, jobcall.X509)


def call(body, flag=0, length=None, path=PATH, more=()):
    head = jobcall.request(path, more=more)
    n = 9 + int.from_bytes(head[:3], "big")
    msg = struct.pack(">BI", flag, len(body) if length is None else length) + body
    return O + head[:n] + frame(0, 1, 1, msg)


CASES = {
    "nothing": b"",
    "one-byte": b"\0",
    "zeros": bytes(70000),
    "noise": rnd.randbytes(70000),
    "http1-get": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "http1-upgrade": b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                     b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello",
    "http1-endless-head": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40000,
    "tls-hello": bytes.fromhex("16030100") + b"\xff" + rnd.randbytes(255),
    "ssh-banner": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half-a-preface": P[:11],
    "preface-then-noise": P + rnd.randbytes(5000),
    "first-frame-is-no-settings": P + frame(0, 0, 1, b"x"),
    "frame-of-16-mib": O + b"\xff\xff\xff" + struct.pack(">BBI", 0, 0, 1) + bytes(100000),
    "settings-of-odd-length": P + frame(4, 0, 0, b"12345"),
    "settings-on-a-stream": P + frame(4, 0, 1, b""),
    "data-on-stream-0": O + frame(0, 0, 0, b"x"),
    "data-on-an-idle-stream": O + frame(0, 0, 7, b"x"),
    "even-stream": O + frame(1, 5, 2, b"\x82"),
    "bad-hpack": O + frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    "hpack-table-bomb": O + frame(1, 5, 1, b"\x3f\xff\xff\xff\xff\x07" + b"\xbe" * 3000),
    "window-of-zero": O + frame(8, 0, 0, b"\0\0\0\0"),
    "window-overflow": O + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "continuation-alone": O + frame(9, 4, 1, b"x"),
    "continuations-without-end": O + frame(1, 1, 1, b"\x82") + frame(9, 0, 1, b"\x10\x01a\x01b") * 20000,
    "no-method": O + frame(1, 5, 1, b"\x10\x05:path\x01/"),
    "unknown-method": call(b"", path="/no.such.Service/Method"),
    "path-of-garbage": call(b"", path="/../../etc/passwd\x01\xff".encode("latin1").decode("latin1")[:20]),
    "message-too-long": call(b"x" * 100, length=0xFFFFFFFF),
    "message-cut-short": call(b"x" * 10, length=5000),
    "message-compressed": call(b"\x1f\x8b\x08\0", flag=1),
    "message-flag-unknown": call(b"", flag=77),
    "message-no-protobuf": call(rnd.randbytes(3000)),
    "message-varint-bomb": call(b"\x80" * 4000),
    "message-nested": call(b"\x0a\x7e" * 2000),
    "message-field-0": call(b"\x00\x01\x02"),
    "timeout-of-garbage": call(b"", more=[("grpc-timeout", "99999999999999Y")]),
    "timeout-of-nothing": call(b"", more=[("grpc-timeout", "0n")]),
    "many-pings": O + frame(6, 0, 0, b"12345678") * 20000,
    "many-settings": O + frame(4, 0, 0) * 20000,
    "many-resets": O + b"".join(jobcall.request(PATH, stream=s) + frame(3, 0, s, b"\0\0\0\x08")
                                for s in range(1, 2001, 2)),
    "many-priorities": O + frame(2, 0, 1, b"\0\0\0\0\1") * 20000,
    "many-streams-open": O + b"".join(jobcall.request(PATH, stream=s)[:-14] for s in range(1, 1201, 2)),
    "unknown-frames": O + frame(0xEE, 0xFF, 1, bytes(100)) * 2000,
    "goaway": O + frame(7, 0, 0, bytes(8)),
}


def dial():
    if ":" in TARGET and not TARGET.startswith("/"):
        host, port = TARGET.rsplit(":", 1)
        s = socket.create_connection((host, int(port)), timeout=30)
    else:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(TARGET)
    return s


def one(s, data):
    """Send it all, give it a moment, say that nothing more comes, read until the end: closed, reset or answered."""
    got = 0
    s.settimeout(0.3)
    try:
        s.sendall(data)
        while got < 1 << 22:
            b = s.recv(65536)
            if not b:
                return "answered, closed" if got else "closed"
            got += len(b)
    except TimeoutError:
        pass
    except OSError:
        return "reset"  # it did not listen to the end: its right
    try:
        s.settimeout(60)
        s.shutdown(socket.SHUT_WR)
        while got < 1 << 22:
            b = s.recv(65536)
            if not b:
                return "answered, closed later" if got else "closed later"
            got += len(b)
    except TimeoutError:
        return "hangs"
    except OSError:
        return "reset"
    return "floods"


def verdict(case, how):
    print("ok %s-%s (%s)" % (NAME, case, how) if how not in ("hangs", "floods")
          else "FAIL %s-%s: %s" % (NAME, case, how), flush=True)


for case, data in CASES.items():
    s = dial()
    verdict(case, one(s, data))
    s.close()
if NAME == "tls":
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    ctx.set_alpn_protocols(["h2"])
    for case, data in CASES.items():
        if not data:
            continue
        try:
            s = ctx.wrap_socket(dial())
        except (ssl.SSLError, OSError):
            verdict("within-" + case, "reset")
            continue
        verdict("within-" + case, one(s, data))
        s.close()
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        ctx.wrap_socket(dial())
        print("FAIL tls-1.2: was accepted")
    except (ssl.SSLError, OSError):
        print("ok tls-1.2-is-refused")
# Many that connect and say nothing, then go.
idle = []
try:
    for _ in range(300):
        idle.append(dial())
except OSError:
    pass
for s in idle:
    s.close()
print("ok %s-idle-connections" % NAME)
