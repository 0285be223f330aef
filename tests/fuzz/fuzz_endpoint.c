/* Agent addresses: what is accepted is a socket path or an IP literal that was written there. */
#include <stdlib.h>
#include <sys/un.h>

#include "client/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_endpoint ep;
	if (mf_endpoint_parse(mf_slice(data, size), &ep, NULL) != MF_OK)
		return 0;
	if (ep.addr.ss_family == AF_UNIX) {
		struct sockaddr_un un;
		memcpy(&un, &ep.addr, sizeof(un));
		size_t n = strlen(un.sun_path);
		if (n < 2 || n > size || memcmp(un.sun_path, data + size - n, n) != 0)
			abort();
	}
	return 0;
}
