#!/usr/bin/python3
"""checks.py configure ISSUER PLAIN TLS | run ISSUER PLAIN-URL TLS-URL: what oidc-provider does with tokens made by hand; prints
`ok NAME` or `FAIL NAME: why`. In the directory: keys one, two; certificates tls, client, other, stranger; docs/ is what ISSUER serves."""
import base64
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.environ["MAYFLY_TOP"], "tests/lib/sh"))
import issuer   # noqa: E402

ISS = sys.argv[2]
RESOURCE = "https://things.example/"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TYPE = "urn:ietf:params:oauth:token-type:"
failed = 0


def configure(name, tls):
    grants = ["client_credentials", EXCHANGE, BEARER]
    common = {"grant_types": grants, "redirect_uris": [], "response_types": [], "scope": "read write"}
    clients = [
        {**common, "client_id": "broker", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": ISS + "/keys"},
        {**common, "client_id": "reader", "token_endpoint_auth_method": "private_key_jwt", "scope": "read",
         "jwks": {"keys": [{k: v for k, v in issuer.public_jwk("two.crt").items() if k != "x5c"}]}},
        {**common, "client_id": "spiffe", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_uri": "spiffe://td.example/broker",
         "tls_client_certificate_bound_access_tokens": False},
        {**common, "client_id": "bound", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_uri": "spiffe://td.example/broker",
         "tls_client_certificate_bound_access_tokens": True},
        {"client_id": "thing", "client_secret": "thing-secret-of-the-test", "grant_types": ["client_credentials"], "redirect_uris": [],
         "response_types": [], "token_endpoint_auth_method": "client_secret_basic"}]
    config = {"resource": RESOURCE, "scopes": "read write", "ttl": 300, "clients": clients,
              "trust": {"issuer": ISS, "jwks": ISS + "/keys", "subject": "spiffe://td.example/job/"}}
    if tls:
        config["tls"] = {"key": "tls.key", "cert": "tls.crt", "client_ca": "client_ca.crt"}
    with open(name + ".json", "w") as f:
        json.dump(config, f)


class Server:
    """One authorization server, spoken to with or without a client certificate."""

    def __init__(self, url):
        self.url = url

    def ask(self, path, form=None, headers=None, cert=None):
        context = None
        if self.url.startswith("https"):
            context = ssl.create_default_context(cafile="tls.crt")
            if cert:
                context.load_cert_chain(cert + ".crt", cert + ".key")
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as r:
                return r.status, json.loads(r.read() or b"{}")
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or b"{}")

    def assertion(self, client="broker", key="one.key", **claims):
        return {"client_assertion_type": ASSERTION, "client_id": client,
                "client_assertion": issuer.sign(key, client, {"sub": client, "aud": self.url, **claims})}

    def token(self, cert=None, **form):
        return self.ask("/token", {"grant_type": "client_credentials", "scope": "read", **form}, cert=cert)

    def subject(self, job="r-1", **claims):
        return issuer.sign(claims.pop("key", "one.key"), ISS, {"sub": "spiffe://td.example/job/" + job, "aud": self.url, **claims})

    def thing(self, token, cert=None):
        return self.ask("/thing", headers={"Authorization": "Bearer " + token}, cert=cert)

    def active(self, token):
        basic = base64.b64encode(b"thing:thing-secret-of-the-test").decode()
        return self.ask("/token/introspection", {"token": token}, {"Authorization": "Basic " + basic})[1]


def check(name, good, why=""):
    global failed
    failed += not good
    print("ok " + name if good else "FAIL %s: %s" % (name, str(why)[:280]), flush=True)


def refused(name, got, status, error):
    check(name, got[0] == status and got[1].get("error") == error, "wanted %s %s, got %s" % (status, error, got))


def private_key_jwt(s):
    code, got = s.token(**s.assertion())
    check("private-key-jwt", code == 200 and got["token_type"] == "Bearer" and 0 < got["expires_in"] <= 300, got)
    check("resource-serves", s.thing(got["access_token"]) == (200, {"client": "broker", "scope": "read"}), s.thing(got["access_token"]))
    once = s.assertion()
    s.token(**once)
    refused("assertion-replayed", s.token(**once), 401, "invalid_client")
    now = int(time.time())
    for name, changed in (("audience", {"aud": "https://else.example"}), ("subject", {"iss": "reader"}), ("expired", {"exp": now - 120}),
                          ("no-expiry", {"exp": None}), ("no-jti", {"jti": None}), ("key", {"key": "two.key"})):
        refused("assertion-" + name, s.token(**s.assertion(**changed)), 401, "invalid_client")
    refused("client-unknown", s.token(**s.assertion("nobody")), 401, "invalid_client")
    refused("scope-not-the-client's", s.token(**s.assertion("reader", "two.key"), scope="write"), 400, "invalid_scope")
    refused("resource-unknown", s.token(**s.assertion(), resource="https://else.example/"), 400, "invalid_target")


def exchange(s):
    """RFC 8693 and RFC 7523 2.1."""
    def swap(subject, **more):
        return s.ask("/token", {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": TYPE + "jwt", "scope": "read",
                                **s.assertion(), **more})
    first = s.subject()
    code, got = swap(first)
    check("exchange", code == 200 and got["issued_token_type"] == TYPE + "access_token", got)
    check("exchange-is-for-the-job", s.thing(got["access_token"])[1].get("sub") == "spiffe://td.example/job/r-1", s.thing(got["access_token"]))
    refused("exchange-replayed", swap(first), 400, "invalid_grant")
    refused("exchange-issuer", swap(issuer.sign("one.key", ISS + "/x", {"sub": "spiffe://td.example/job/r-1", "aud": s.url})), 400, "invalid_grant")
    for name, changed in (("audience", {"aud": "sts.amazonaws.com"}), ("subject", {"sub": "spiffe://td.example/other"}),
                          ("expired", {"exp": int(time.time()) - 5}), ("key", {"key": "two.key"})):
        refused("exchange-" + name, swap(s.subject(**changed)), 400, "invalid_grant")
    refused("exchange-scope", swap(s.subject(), scope="admin"), 400, "invalid_scope")
    refused("exchange-resource", swap(s.subject(), resource="https://else.example/"), 400, "invalid_target")
    refused("exchange-type", swap(s.subject(), subject_token_type=TYPE + "saml2"), 400, "invalid_request")
    refused("exchange-needs-client", s.ask("/token", {"grant_type": EXCHANGE, "subject_token": s.subject(), "subject_token_type": TYPE + "jwt"}),
            400, "invalid_request")
    code, got = s.ask("/token", {"grant_type": BEARER, "assertion": s.subject("r-2"), "scope": "read write", **s.assertion()})
    check("jwt-bearer", code == 200 and s.thing(got["access_token"])[1] ==
          {"client": "broker", "scope": "read write", "sub": "spiffe://td.example/job/r-2"}, got)


def revocation(s):
    one, two = (s.token(**s.assertion())[1]["access_token"] for _ in "12")
    check("active", s.active(one)["active"] and s.active(one)["client_id"] == "broker", s.active(one))
    # RFC 7009: not by another client; of an unknown token 200.
    refused("revoked-by-another", s.ask("/token/revocation", {"token": one, **s.assertion("reader", "two.key")}), 400, "invalid_request")
    check("revoke", s.ask("/token/revocation", {"token": one, "token_type_hint": "access_token", **s.assertion()})[0] == 200)
    check("revoke-again", s.ask("/token/revocation", {"token": one, **s.assertion()})[0] == 200)
    check("inactive", s.active(one) == {"active": False}, s.active(one))
    check("revoked-at-the-resource", s.thing(one)[0] == 401)
    check("sibling-untouched", s.active(two)["active"] and s.thing(two)[0] == 200)


def tls_client_auth(s):
    code, got = s.token(cert="client", client_id="spiffe")
    check("tls-client-auth", code == 200 and s.thing(got["access_token"])[0] == 200, got)
    for name, cert in (("none", None), ("other-id", "other"), ("authority", "stranger")):
        refused("tls-client-" + name, s.token(cert=cert, client_id="spiffe"), 401, "invalid_client")
    check("tls-revoke", s.ask("/token/revocation", {"token": got["access_token"], "client_id": "spiffe"}, cert="client")[0] == 200)
    check("tls-revoked", s.thing(got["access_token"])[0] == 401)
    # RFC 8705 3: a token bound to the certificate is none without it.
    code, got = s.token(cert="client", client_id="bound")
    check("bound", code == 200 and s.thing(got["access_token"], "client")[0] == 200, got)
    check("bound-elsewhere", s.thing(got["access_token"], "other")[0] == 401 and s.thing(got["access_token"])[0] == 401)


if sys.argv[1] == "configure":
    issuer.publish("docs", ISS, "one.crt")
    configure(sys.argv[3], False)
    configure(sys.argv[4], True)
else:
    plain, tls = Server(sys.argv[3]), Server(sys.argv[4])
    private_key_jwt(plain)
    exchange(plain)
    revocation(plain)
    tls_client_auth(tls)
sys.exit(failed != 0)
