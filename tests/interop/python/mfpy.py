"""mfpy: a stranger's view of Mayfly through py-spiffe; the twin of ../go/main.go.

    mfpy.py fetch                    one X.509 context; chain and key are checked with OpenSSL's view of them
    mfpy.py watch N                  until N updates came, or a refusal; one line each
    mfpy.py bundles                  FetchX509Bundles once
    mfpy.py jwt AUD...               FetchJWTSVID for these audiences, checked with the keys of FetchJWTBundles and by
                                     ValidateJWTSVID; and that another audience is refused there
    mfpy.py tokens N AUD             JWT-SVIDs all the time, each checked by the keys that a JwtSource holds and by
                                     ValidateJWTSVID, until N keys have signed
    mfpy.py server ID PORTFILE       mTLS echo server for callers with SPIFFE ID ID
    mfpy.py client ID PORTFILE N     connects until N different serials of its own and of the server were seen

Events are JSON lines. Exit codes: 0 done, 1 failed, 7 PERMISSION_DENIED.
"""
import base64
import json
import os
import socket
import ssl
import sys
import tempfile
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID
from spiffe import JwtSource, JwtSvid, SpiffeId, WorkloadApiClient, X509Source

HANG = 300.0    # seconds: a limit, far more than anything takes


def event(name, **fields):
    print(json.dumps(dict(fields, event=name)), flush=True)


def serial(cert):
    return format(cert.serial_number, "x")


def pem(certs):
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certs)


def tls_context(side, svid, bundle):
    """An ssl context that holds ${svid} and trusts ${bundle}; loading it checks that key and chain fit."""
    ctx = ssl.SSLContext(side)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_REQUIRED
    ctx.load_verify_locations(cadata=pem(bundle.x509_authorities).decode())
    key = svid.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with tempfile.NamedTemporaryFile(prefix="mfpy-") as f:      # mode 0600
        f.write(key + pem(svid.cert_chain))
        f.flush()
        ctx.load_cert_chain(f.name)
    return ctx


def peer(conn):
    """The SPIFFE ID and serial of the other side, whose chain the handshake has verified."""
    cert = x509.load_der_x509_certificate(conn.getpeercert(True))
    san = cert.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise ValueError(f"{len(uris)} URI SANs")
    return SpiffeId(uris[0]), serial(cert)


def show(context):
    svids = []
    for s in context.x509_svids:
        bundle = context.x509_bundle_set.get_bundle_for_trust_domain(s.spiffe_id.trust_domain)
        tls_context(ssl.PROTOCOL_TLS_CLIENT, s, bundle)
        svids.append({"id": str(s.spiffe_id), "serial": serial(s.leaf), "chain": len(s.cert_chain),
                      "not_after": int(s.leaf.not_valid_after_utc.timestamp())})
    event("x509", svids=svids)


def refused(error):
    """PERMISSION_DENIED anywhere in the chain of causes."""
    while error is not None:
        if "PERMISSION_DENIED" in repr(error) or "PERMISSION_DENIED" in str(error) or "no identity issued" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def watch(n):
    done, count, errors = threading.Event(), [0], []

    def update(context):
        show(context)
        count[0] += 1
        if count[0] >= n:
            done.set()

    def failed(error):
        event("error", text=str(error))
        errors.append(error)
        if refused(error):
            done.set()

    with WorkloadApiClient() as client:
        # Its own retries would hide the refusal for ever: py-spiffe tries PERMISSION_DENIED again.
        handle = client.stream_x509_contexts(update, failed, retry_connect=False)
        ended = done.wait(HANG)
        handle.cancel()
    if count[0] >= n:
        return 0
    return 7 if ended and any(refused(e) for e in errors) else 1


def jwt(audiences):
    with WorkloadApiClient() as c:
        svid = c.fetch_jwt_svid(audience=set(audiences), timeout=HANG)
        keys = c.fetch_jwt_bundles(timeout=HANG)
        bundle = keys.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
        JwtSvid.parse_and_validate(svid.token, bundle, set(audiences))
        again = c.validate_jwt_svid(svid.token, audiences[0])
        if again.spiffe_id != svid.spiffe_id:
            raise ValueError(f"validated as {again.spiffe_id}, not {svid.spiffe_id}")
        try:
            c.validate_jwt_svid(svid.token, "somebody else")
        except Exception as e:      # noqa: BLE001 - the library's own kinds
            event("refused", text=str(e))
        else:
            raise ValueError("valid for another audience")
        event("jwt", id=str(svid.spiffe_id), audience=sorted(svid.audience), kids=len(bundle.jwt_authorities))


def kid(token):
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]


def tokens(n, audience):
    """None is refused, whatever happens to the keys meanwhile."""
    seen, count, end = set(), 0, time.monotonic() + HANG
    with JwtSource(timeout_in_seconds=HANG) as source, WorkloadApiClient() as c:
        while len(seen) < n:
            if time.monotonic() > end:
                raise TimeoutError("no new key was seen")
            svid = source.fetch_svid({audience})
            bundle = source.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
            try:
                JwtSvid.parse_and_validate(svid.token, bundle, {audience})
                c.validate_jwt_svid(svid.token, audience)
            except Exception as e:      # noqa: BLE001 - the library's own kinds
                event("error", text=str(e), kid=kid(svid.token))
                return 1
            if kid(svid.token) not in seen:
                event("token", kid=kid(svid.token), id=str(svid.spiffe_id))
            seen.add(kid(svid.token))
            count += 1
            time.sleep(0.02)
    event("tokens", count=count, kids=len(seen))
    return 0


def source_context(source, side):
    svid = source.svid
    return tls_context(side, svid, source.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain))


def server(want, port_file):
    with X509Source(timeout_in_seconds=HANG) as source, socket.create_server(("127.0.0.1", 0)) as listener:
        with open(port_file + ".tmp", "w", encoding="ascii") as f:
            f.write("127.0.0.1:%d" % listener.getsockname()[1])
        os.rename(port_file + ".tmp", port_file)
        while True:
            raw, _ = listener.accept()
            raw.settimeout(HANG)
            try:
                with source_context(source, ssl.PROTOCOL_TLS_SERVER).wrap_socket(raw, server_side=True) as conn:
                    spiffe_id, peer_serial = peer(conn)
                    if spiffe_id != SpiffeId(want):
                        event("refused", text=f"{spiffe_id} is not {want}")
                        continue
                    line = conn.makefile("r").readline()
                    conn.sendall(f"hello {peer_serial} {line}".encode())
            except (OSError, ValueError) as e:
                event("refused", text=str(e))


def client(want, port_file, n):
    with open(port_file, encoding="ascii") as f:
        host, port = f.read().rsplit(":", 1)
    mine, theirs, end = set(), set(), time.monotonic() + HANG
    with X509Source(timeout_in_seconds=HANG) as source:
        while len(mine) < n or len(theirs) < n:
            if time.monotonic() > end:
                raise TimeoutError("no renewal was seen")
            raw = socket.create_connection((host, int(port)), timeout=HANG)
            with source_context(source, ssl.PROTOCOL_TLS_CLIENT).wrap_socket(raw) as conn:
                spiffe_id, server_serial = peer(conn)
                if spiffe_id != SpiffeId(want):
                    raise ValueError(f"the server is {spiffe_id}, not {want}")
                conn.sendall(b"x\n")
                words = conn.makefile("r").readline().split()
            if len(words) != 3 or words[0] != "hello":
                raise ValueError(f"the server said {words}")
            if words[1] not in mine or server_serial not in theirs:
                event("connected", mine=words[1], theirs=server_serial)
            mine.add(words[1])
            theirs.add(server_serial)
            time.sleep(0.05)


def main(args):
    if args == ["fetch"]:
        with WorkloadApiClient() as c:
            show(c.fetch_x509_context(timeout=HANG))
    elif len(args) == 2 and args[0] == "watch":
        return watch(int(args[1]))
    elif args == ["bundles"]:
        with WorkloadApiClient() as c:
            bundles = c.fetch_x509_bundles(timeout=HANG)
            event("bundles", bundles=[f"{b.trust_domain}:{len(b.x509_authorities)}" for b in bundles.bundles])
    elif len(args) >= 2 and args[0] == "jwt":
        jwt(args[1:])
    elif len(args) == 3 and args[0] == "tokens":
        return tokens(int(args[1]), args[2])
    elif len(args) == 3 and args[0] == "server":
        server(args[1], args[2])
    elif len(args) == 4 and args[0] == "client":
        client(args[1], args[2], int(args[3]))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


try:
    sys.exit(main(sys.argv[1:]))
except Exception as e:
    print(f"mfpy: {type(e).__name__}: {e}", file=sys.stderr)
    sys.exit(7 if refused(e) else 1)
