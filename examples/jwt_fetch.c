/*
 * jwt_fetch: get a token for a service, and do what the service does: validate it.
 *
 *	cc jwt_fetch.c $(pkg-config --cflags --libs libmayfly)
 *	mayfly run --profile dev -- ./jwt_fetch AUDIENCE [OTHER-AUDIENCE]
 *
 * With OTHER-AUDIENCE it validates as a service of that name, which must refuse the token. The token itself is not
 * printed: it is a secret. Exit codes: 0 done, 1 failed, 2 the agent gives none, 3 the token was refused.
 */
#include <stdio.h>

#include <mayfly/jwt.h>

/* The service's side: it needs the bundles, not the agent that made the token. */
static int
serve(const mayfly_client *client, const char *token, const char *me)
{
	mayfly_jwt_bundles *bundles = NULL;
	mayfly_jwt *jwt = NULL;
	mayfly_error err;
	char *id = NULL;
	int rc = 0;

	if (mayfly_fetch_jwt_bundles(client, 5000, &bundles, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "jwt_fetch: bundles: %s\n", err.text);
		rc = 1;
	} else if (mayfly_validate_jwt(bundles, token, me, 5, 0, &jwt, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "jwt_fetch: refused: %s\n", err.text);
		rc = err.status == MAYFLY_E_UNTRUSTED ? 3 : 1;
	} else {
		(void)printf(
		    "subject=%s expires=%lld\n", mayfly_jwt_id(jwt), (long long)mayfly_jwt_expires(jwt));
	}
	/* A service without bundles asks its agent. Both must say the same. */
	if (mayfly_validate_jwt_by_agent(client, token, me, 5000, &id, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "jwt_fetch: refused by the agent: %s\n", err.text);
		rc = rc == 0 ? 1 : rc;
	} else if (rc == 0) {
		(void)printf("by-agent=%s\n", id);
	} else {
		rc = 1;
	}
	mayfly_string_free(id);
	mayfly_jwt_free(jwt);
	mayfly_jwt_bundles_unref(bundles);
	return rc;
}

int
main(int argc, char **argv)
{
	mayfly_client *client = NULL;
	mayfly_jwts *jwts = NULL;
	mayfly_error err;
	int rc;

	if (argc != 2 && argc != 3) {
		(void)fprintf(stderr, "usage: jwt_fetch AUDIENCE [OTHER-AUDIENCE]\n");
		return 1;
	}
	if (mayfly_client_new(NULL, &client, &err) != MAYFLY_OK ||
	    mayfly_fetch_jwt(client, (const char *const *)&argv[1], 1, NULL, 5000, &jwts, &err) !=
		MAYFLY_OK) {
		(void)fprintf(stderr, "jwt_fetch: %s\n", err.text);
		rc = err.status == MAYFLY_E_DENIED ? 2 : 1;
	} else {
		(void)printf(
		    "id=%s tokens=%lu\n", mayfly_jwts_id(jwts, 0), (unsigned long)mayfly_jwts_count(jwts));
		rc = serve(client, mayfly_jwts_token(jwts, 0), argv[argc - 1]);
	}
	mayfly_jwts_free(jwts);
	mayfly_client_free(client);
	return rc;
}
