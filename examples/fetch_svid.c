/*
 * fetch_svid: who am I? Asks the agent once and prints every identity of this process.
 *
 *	cc fetch_svid.c $(pkg-config --cflags --libs libmayfly)
 *	mayfly run --profile dev -- ./fetch_svid
 *
 * Exit codes: 0 shown, 1 failed, 2 the agent has no identity for this process.
 */
#include <stdio.h>

#include <mayfly/workload.h>

int
main(void)
{
	mayfly_client *client = NULL;
	mayfly_x509 *x509 = NULL;
	mayfly_error err;
	size_t i;
	int rc = 0;

	/* NULL: the address is in SPIFFE_ENDPOINT_SOCKET. 5000: an agent that is starting gets five seconds. */
	if (mayfly_client_new(NULL, &client, &err) != MAYFLY_OK ||
	    mayfly_fetch_x509(client, 5000, &x509, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "fetch_svid: %s\n", err.text);
		rc = err.status == MAYFLY_E_DENIED ? 2 : 1;
	} else {
		for (i = 0; i < mayfly_x509_count(x509); i++) {
			const mayfly_svid *svid = mayfly_x509_at(x509, i);
			(void)printf("id=%s hint=%s serial=%s not_after=%lld\n", mayfly_svid_id(svid),
			    mayfly_svid_hint(svid), mayfly_svid_serial(svid),
			    (long long)mayfly_svid_not_after(svid));
		}
	}
	mayfly_x509_unref(x509);
	mayfly_client_free(client);
	return rc;
}
