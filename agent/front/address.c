#include "agent/front/address.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "os/listen.h"

bool
mf_front_address_literal(const char *host)
{
	uint8_t scratch[16];
	return strlen(host) < MF_FRONT_HOST_MAX &&
	       inet_pton(strchr(host, ':') != NULL ? AF_INET6 : AF_INET, host, scratch) == 1;
}

/* One of the list, NUL-terminated. */
static enum mf_status
add(struct mf_front_address *a, const char *text, struct mf_err *err)
{
	char host[256];
	uint16_t port = 0;
	MF_TRY(mf_address_split(text, host, &port, err));
	if (!mf_front_address_literal(host))
		return MF_FAIL(
		    err, MF_E_INVALID, "broker address %.80s: one name, or IP addresses only", text);
	if (port == 0 || (a->n > 0 && port != a->port))
		return MF_FAIL(err, MF_E_INVALID, "broker address %.80s: another port than the first", text);
	(void)snprintf(a->host[a->n++], MF_FRONT_HOST_MAX, "%s", host);
	a->port = port;
	return MF_OK;
}

enum mf_status
mf_front_address_parse(const char *text, struct mf_front_address *ret_a, struct mf_err *err)
{
	struct mf_front_address a = { 0 };
	char host[256];
	if (strchr(text, ',') == NULL) {
		MF_TRY(mf_address_split(text, host, &a.port, err));
		if (!mf_front_address_literal(host)) {
			if (strlen(host) >= sizeof(a.name) || host[0] == '[' || strchr(host, ':') != NULL)
				return MF_FAIL(
				    err, MF_E_INVALID, "broker address %.80s: no name of a host", text);
			(void)snprintf(a.name, sizeof(a.name), "%s", host);
			*ret_a = a;
			return MF_OK;
		}
	}
	for (;;) {
		char one[300];
		size_t n = strcspn(text, ",");
		if (n >= sizeof(one))
			return MF_FAIL(err, MF_E_INVALID, "broker address of %zu bytes", n);
		memcpy(one, text, n);
		one[n] = '\0';
		if (a.n < MF_FRONT_HOSTS)
			MF_TRY(add(&a, one, err));
		if (text[n] == '\0')
			break;
		text += n + 1;
	}
	*ret_a = a;
	return MF_OK;
}
