"""A token issuer made by hand, with openssl's command as its only cryptography.

    issuer.py publish DIR ISSUER CERT...     discovery and JWKS below DIR, the first certificate's key first, with x5c
    issuer.py jwt KEY ISSUER [CLAIMS]        a signed token: RS256 or ES256 by the kind of key; CLAIMS is a JSON object that
                                             adds or, with null, takes away
    issuer.py serve PORT DIR [PEM]           DIR on loopback, https when PEM (key and certificates) is given
"""
import base64
import functools
import http.server
import json
import os
import ssl
import subprocess
import sys
import time
import uuid


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def openssl(*args, given=b""):
    return subprocess.run(["openssl", *args], input=given, stdout=subprocess.PIPE, check=True).stdout


def public_jwk(cert):
    """The JWK of a certificate's key; its kid is the RFC 7638 thumbprint."""
    pem = openssl("x509", "-in", cert, "-noout", "-pubkey")
    der = openssl("pkey", "-pubin", "-pubout", "-outform", "DER", given=pem)
    if b"\x2a\x86\x48\xce\x3d\x02\x01" in der:     # id-ecPublicKey: the point ends the structure
        jwk = {"crv": "P-256", "kty": "EC", "x": b64(der[-64:-32]), "y": b64(der[-32:])}
    else:
        modulus = openssl("x509", "-in", cert, "-noout", "-modulus").decode().strip().partition("=")[2]
        jwk = {"e": "AQAB", "kty": "RSA", "n": b64(bytes.fromhex(modulus))}
    kid = b64(openssl("dgst", "-sha256", "-binary", given=compact(jwk).encode()))
    x5c = base64.b64encode(openssl("x509", "-in", cert, "-outform", "DER")).decode()
    return {**jwk, "use": "sig", "alg": "ES256" if jwk["kty"] == "EC" else "RS256", "kid": kid, "x5c": [x5c]}


def publish(directory, issuer, *certs):
    keys = [public_jwk(c) for c in certs]
    os.makedirs(os.path.join(directory, ".well-known"), exist_ok=True)
    discovery = {"issuer": issuer, "jwks_uri": issuer + "/keys", "response_types_supported": ["id_token"],
                 "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": sorted({k["alg"] for k in keys})}
    for name, document in ((".well-known/openid-configuration", discovery), ("keys", {"keys": keys})):
        path = os.path.join(directory, name)
        with open(path + ".new", "w") as f:
            json.dump(document, f)
        os.rename(path + ".new", path)


def raw_signature(der):
    """r and s of 32 bytes each, from ECDSA's DER."""
    at, out = 2, b""
    for _ in range(2):
        size = der[at + 1]
        out += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return out


def sign(key, issuer, claims=None, header=None):
    now = int(time.time())
    ec = b"prime256v1" in openssl("pkey", "-in", key, "-text", "-noout")
    all_claims = {"iss": issuer, "aud": "sts.amazonaws.com", "iat": now, "nbf": now - 30, "exp": now + 300, "jti": uuid.uuid4().hex}
    all_claims.update(claims or {})
    all_claims = {k: v for k, v in all_claims.items() if v is not None}
    head = {"alg": "ES256" if ec else "RS256", "typ": "JWT", **(header or {})}
    text = b64(compact(head).encode()) + "." + b64(compact(all_claims).encode())
    signature = openssl("dgst", "-sha256", "-sign", key, given=text.encode())
    return text + "." + b64(raw_signature(signature) if ec else signature)


class Documents(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        print("asked", *args, flush=True)


def serve(port, directory, pem=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), functools.partial(Documents, directory=directory))
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "publish":
        publish(*args)
    elif verb == "jwt":
        print(sign(args[0], args[1], json.loads(args[2]) if len(args) > 2 else None))
    else:
        serve(*args)
