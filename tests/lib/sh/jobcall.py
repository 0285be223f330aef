"""One call at a time on the agent's job socket, written frame by frame, so that a test decides which process writes
which bytes. Responses are decoded with libnghttp2's own HPACK (ctypes); nothing else is needed."""
import ctypes
import ctypes.util
import select
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
X509 = "/SpiffeWorkloadAPI/FetchX509SVID"
WHOAMI = "/mayfly.job.v1.Jobs/WhoAmI"


class _NV(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_ubyte)), ("value", ctypes.POINTER(ctypes.c_ubyte)),
                ("namelen", ctypes.c_size_t), ("valuelen", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


_lib = ctypes.CDLL(ctypes.util.find_library("nghttp2") or "libnghttp2.so.14")
_lib.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
_lib.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p, ctypes.POINTER(_NV), ctypes.POINTER(ctypes.c_int),
                                        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]


class _Inflater:
    def __init__(self):
        self.p = ctypes.c_void_p()
        assert _lib.nghttp2_hd_inflate_new(ctypes.byref(self.p)) == 0

    def headers(self, block):
        out = {}
        nv, flags = _NV(), ctypes.c_int()
        while True:
            n = _lib.nghttp2_hd_inflate_hd2(self.p, ctypes.byref(nv), ctypes.byref(flags), block, len(block), 1)
            assert n >= 0, "HPACK error %d" % n
            block = block[n:]
            if flags.value & 2:
                out[bytes(nv.name[:nv.namelen]).decode()] = bytes(nv.value[:nv.valuelen]).decode("latin1")
            if flags.value & 1 or (not block and not flags.value & 2):
                _lib.nghttp2_hd_inflate_end_headers(self.p)
                return out


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name, value):
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(path, stream=1, more=(), security=True, body=b""):
    """HEADERS and DATA of one call with ${body} as its message."""
    h = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
         ("content-type", "application/grpc"), ("te", "trailers")]
    if security:
        h.append(("workload.spiffe.io", "true"))
    block = b"".join(_literal(k, v) for k, v in h + list(more))
    return frame(1, 4, stream, block) + frame(0, 1, stream, struct.pack(">BI", 0, len(body)) + body)


def opening():
    return PREFACE + frame(4, 0, 0)


def fields(b):
    """(number, value) of each field of a protobuf message; numbers and byte strings only."""
    at = 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            c = b[at]
            at += 1
            v |= (c & 127) << shift
            shift += 7
            if c < 128:
                return v

    while at < len(b):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            n = varint()
            at += n
            yield key >> 3, b[at - n:at]
        else:
            raise ValueError("wire type %d" % (key & 7))


class Reader:
    """What comes back on a connection, by stream. ${hd} decodes header blocks."""

    def __init__(self, sock, hd=None):
        self.sock, self.buf, self.hd = sock, b"", hd or _Inflater()

    def answer(self, stream=1, seconds=60, first=True):
        """{'ids': [...], 'status': '7' or None, 'message': ..., 'closed': bool}; ${first}: the first message is enough."""
        r = {"ids": [], "status": None, "message": "", "closed": False, "messages": []}
        data, end = b"", time.monotonic() + seconds
        while True:
            while len(self.buf) >= 9:
                n = int.from_bytes(self.buf[:3], "big")
                if len(self.buf) < 9 + n:
                    break
                kind, flags, sid = self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], "big") & 0x7FFFFFFF
                body, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
                if kind == 4 and not flags & 1:
                    try:
                        self.sock.sendall(frame(4, 1, 0))
                    except OSError:
                        pass
                elif kind == 1:
                    h = self.hd.headers(body)
                    if sid == stream and "grpc-status" in h:
                        r["status"], r["message"] = h["grpc-status"], h.get("grpc-message", "")
                elif kind == 6 and not flags & 1:  # as every HTTP/2 library does
                    try:
                        self.sock.sendall(frame(6, 1, 0, body))
                    except OSError:
                        pass
                elif kind == 3 and sid == stream:
                    r["status"] = r["status"] or "reset"
                elif kind == 0 and sid == stream:
                    data += body
                while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
                    m = int.from_bytes(data[1:5], "big")
                    msg, data = data[5:5 + m], data[5 + m:]
                    r["messages"].append(msg)
                    r["ids"] += [dict(fields(v))[1].decode() for k, v in fields(msg) if k == 1 and b"spiffe://" in v]
            if r["status"] is not None or (first and r["messages"]):
                return r
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                r["message"] = "nothing came within %d s" % seconds
                return r
            try:
                got = self.sock.recv(65536)
            except ConnectionError:
                got = b""
            if not got:
                r["closed"] = True
                return r
            self.buf += got


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(path)
    return s


def fetch(path, **kw):
    s = connect(path)
    s.sendall(opening() + request(X509, **kw))
    return Reader(s).answer()
