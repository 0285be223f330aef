/* A datagram on the control link, as the role and as the supervisor would take it. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
one(const uint8_t *data, size_t size, bool from_role)
{
	int fds[2];
	struct mf_seqpacket *s = NULL;
	struct mf_control_msg m = { .fd = -1 };
	if (mf_seqpacket_pair(fds, NULL) != MF_OK || mf_seqpacket_new(fds[1], 4096, &s, NULL) != MF_OK)
		abort();
	if (send(fds[0], data, size, 0) != (ssize_t)size)
		abort();
	if (mf_control_recv(s, from_role, &m, NULL) == MF_OK &&
	    (strlen(m.text) >= MF_CONTROL_TEXT_MAX || (m.type == MF_CONTROL_LINK) ||
		(m.type == MF_CONTROL_RELOAD)))
		abort(); /* these carry a descriptor and none was sent */
	(void)close(fds[0]);
	mf_seqpacket_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > MF_LIM_IPC_MESSAGE)
		return 0;
	one(data, size, true);
	one(data, size, false);
	return 0;
}
