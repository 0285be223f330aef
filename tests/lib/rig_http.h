/* rig_http: an HTTP client over loopback that lets the front of front_rig answer in the same thread. */
#ifndef MF_TESTS_RIG_HTTP_H
#define MF_TESTS_RIG_HTTP_H
#include <netinet/in.h>

#include "front_rig.h"

struct rig_http {
	struct rig *r;
	int fd;
	char in[4096];
	size_t n;
	int code;   /* of the last answer; 0: none yet */
	char *body; /* in it */
};

void mf_rig_http_dial(struct rig *r, struct rig_http *c, struct in_addr to, uint16_t port);
void mf_rig_http_say(struct rig_http *c, const char *text);
/* Without waiting: a whole answer is there, or the end of the connection. */
bool mf_rig_http_heard(void *ctx);
/* Waits for it; the code. */
int mf_rig_http_hear(struct rig_http *c);
#endif
