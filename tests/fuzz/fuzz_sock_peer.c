/* The kernel's answer about a socket: no length in it leads outside. */
#include <stdlib.h>

#include "agent/front/sock_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_sock_peer p;
	if (mf_sock_peer_parse(mf_slice(data, size), 1, &p, NULL) == MF_OK && size < 72)
		abort(); /* a socket has at least so many bytes */
	return 0;
}
