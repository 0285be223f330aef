#!/bin/bash
# `mayfly doctor --profile` at a real authorization server: fine, and with the audience, the client, the subject, the scope and the endpoint
# broken on purpose: each time the side that is wrong is named.
# shellcheck source=tests/lib/sh/common.sh
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/toolchains.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
. "$MAYFLY_TOP/tests/lib/sh/oidc_provider.sh"
. "$MAYFLY_TOP/tests/lib/sh/doctor.sh"
oidc_here
scratch doctor-oauth
td=lab.example port=$(free_port)
issuer=http://localhost:$port/$td
cat >server.json <<-E
{"resource": "https://things.example/", "scopes": "read write", "ttl": 300,
 "clients": [{"client_id": "broker", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "$issuer/keys", "scope": "read write",
  "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"], "redirect_uris": [], "response_types": []}],
 "trust": {"issuer": "$issuer", "jwks": "$issuer/keys", "subject": "spiffe://$td/default/api/job/"}}
E
oidc_up server
profile() { # NAME TARGET PATH SCOPE
	printf '  %s:\n    purpose: training\n    owner: tests\n    max_job: 1h\n    identities: [{path: "/{tenant}/%s/job/{job}"}]\n    cloud:\n' "$1" "$3"
	printf '      - {name: things, target: %s, ttl: 5m, scope: [{actions: [%s], resources: ["https://things.example/"]}]}\n' "$2" "$4"
}
{
	printf 'mayfly_policy: 1\nprofiles:\n'
	profile api lab api read
	profile audience audience api read
	profile client client api read
	profile subject lab another read
	profile scope lab api rule
	profile endpoint endpoint api read
	printf 'rules:\n  - {id: api, effect: permit, profile: api, owner: tests, review_by: 2099-01-01, nodes: any, when: {has: [attested.mayfly.run]}}\n'
} >policy.yaml
target() { # NAME AUDIENCE CLIENT PATH
	printf '{name: %s, backend: oauth, endpoint: %s/%s, revocation_endpoint: %s/token/revocation, audience: %s, client_id: %s, flow: token-exchange, client_auth: private_key_jwt, loopback: true}' \
	    "$1" "$oidc_url" "$4" "$oidc_url" "$2" "$3"
}
dev_start --trust-domain $td --policy policy.yaml --broker "oidc={issuer: $issuer, public: publisher, listen: 127.0.0.1:$port}" \
    --broker "cloud_targets=[$(target lab "$oidc_url" broker token), $(target audience https://wrong.example broker token), $(target client "$oidc_url" nobody token), $(target endpoint "$oidc_url" broker nowhere)]"
doctor fine 0 api ok profile '' ok things.target '' ok things.issuer.public '' ok things.token ''
doctor audience 1 audience fail things.token provider
doctor client 1 client fail things.token provider
doctor subject 1 subject fail things.token provider
doctor scope 1 scope fail things.token profile
doctor endpoint 1 endpoint fail things.token broker
dev_stop
finish
