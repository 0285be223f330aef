/* A datagram from a hostile role, through a real socket: recv never crashes, and parse agrees with it. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/seqpacket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];
	struct mf_seqpacket *s = NULL;
	struct mf_packet parsed = { 0 }, got = { 0 };
	if (size == 0 || size > MF_LIM_IPC_MESSAGE)
		return 0;
	if (mf_seqpacket_pair(fds, NULL) != MF_OK || mf_seqpacket_new(fds[1], 4096, &s, NULL) != MF_OK)
		abort();
	enum mf_status want = mf_packet_parse(mf_slice(data, size), &parsed, NULL);
	if (send(fds[0], data, size, 0) != (ssize_t)size || mf_seqpacket_recv(s, &got, NULL) != want)
		abort();
	if (want == MF_OK && (got.type != parsed.type || !mf_slice_eq(got.payload, parsed.payload)))
		abort();
	(void)close(fds[0]);
	mf_seqpacket_free(s);
	return 0;
}
