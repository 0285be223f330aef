"""A TCP relay on loopback that can be cut: relay.py LISTEN TARGET. USR1 cuts (connections die, new ones hang), USR2 heals."""
import selectors
import signal
import socket
import sys
import time

listen, target = int(sys.argv[1]), int(sys.argv[2])
sel = selectors.DefaultSelector()
pairs, cut = {}, False


def drop(s):
    for x in (s, pairs.pop(s, None)):
        if x is None:
            continue
        pairs.pop(x, None)
        try:
            sel.unregister(x)
        except (KeyError, ValueError):
            pass
        x.close()


def on_cut(*_):
    global cut
    cut = True


def on_heal(*_):
    global cut
    cut = False


signal.signal(signal.SIGUSR1, on_cut)
signal.signal(signal.SIGUSR2, on_heal)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", listen))
server.listen(64)
sel.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    events = sel.select(0.1)
    if cut:
        # Silence, as a cut cable gives it: nothing is read, nothing is closed, until it heals; then all is stale.
        while cut:
            time.sleep(0.05)
        for s in list(pairs):
            drop(s)
        continue
    for key, _ in events:
        s = key.fileobj
        if s is server:
            a, _ = server.accept()
            try:
                b = socket.create_connection(("127.0.0.1", target), timeout=5)
            except OSError:
                a.close()
                continue
            pairs[a], pairs[b] = b, a
            for x in (a, b):
                x.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a cable holds nothing back; Nagle would, 40 ms a time
                sel.register(x, selectors.EVENT_READ)
            continue
        if s not in pairs:
            continue
        try:
            data = s.recv(65536)
            if not data:
                raise OSError
            pairs[s].sendall(data)
        except OSError:
            drop(s)
