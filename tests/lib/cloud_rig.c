#include "cloud_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/pb_check.h"

#define t mf_crig

struct cloud_rig mf_crig;

static void
pack_token(bool aws, struct mf_buf *to)
{
	Mayfly__Roles__V1__CloudToken c = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	static char secret[] = "s3cr3t", session[] = "session", type[] = "Bearer";
	char id[32];
	(void)snprintf(id, sizeof(id), aws ? "AKIA%u" : "opaque-%u", t.granted);
	c.kind = aws ? MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS
		     : MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER;
	if (aws) {
		c.access_key_id = id;
		c.secret_access_key = secret;
		c.session_token = session;
	} else {
		c.access_token = id;
		c.token_type = type;
	}
	assert_int_equal(mf_pb_pack(&c.base, to, NULL), MF_OK);
}

void
mf_crig_answer(struct rig *r, uint64_t mint_id, const char *grant)
{
	Mayfly__Roles__V1__InstanceCloud m = MAYFLY__ROLES__V1__INSTANCE_CLOUD__INIT;
	Mayfly__Agent__V1__CloudGrant g = MAYFLY__AGENT__V1__CLOUD_GRANT__INIT;
	Mayfly__Agent__V1__Refusal no = MAYFLY__AGENT__V1__REFUSAL__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	bool aws = strcmp(grant, "data") == 0;
	char id[32];
	m.mint_id = mint_id;
	mf_buf_init(&token, 4096);
	if (t.refuse != 0) {
		no.code = t.refuse;
		no.reason = (char *)(uintptr_t) "the profile says no";
		m.refusal = &no;
	} else {
		t.granted++;
		pack_token(aws, &token);
		(void)snprintf(id, sizeof(id), "c-%u", t.granted);
		g.grant = (char *)(uintptr_t)grant;
		g.kind = (char *)(uintptr_t)(aws ? "aws" : "bearer");
		g.credential_id = id;
		g.token = (ProtobufCBinaryData) { token.n, token.p };
		g.issued_at = mf_now().wall_us / 1000000;
		g.effective_expires = g.issued_at + t.ttl_s;
		g.expires = g.issued_at + 3600;
		m.grant = &g;
	}
	mf_frig_send(r, MF_MSG_INSTANCE_CLOUD, &m.base);
}

static void
on_cloud(struct rig *r, const Mayfly__Roles__V1__MintInstanceCloud *q)
{
	assert_int_equal(q->handle, r->handle);
	t.last_id = q->mint_id;
	(void)snprintf(t.last_grant, sizeof(t.last_grant), "%s", q->grant);
	if (!t.mute)
		mf_crig_answer(r, q->mint_id, q->grant);
}

int
mf_crig_setup(void **state)
{
	struct rig *r = mf_frig_new();
	char ip[INET_ADDRSTRLEN];
	struct sockaddr_in at;
	socklen_t n = sizeof(at);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf secret;
	memset(&t, 0, sizeof(t));
	t.ttl_s = 1800;
	int dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mf_cloud_socket_open(dir, -1, &t.sock, NULL), MF_OK);
	(void)close(dir);
	assert_int_equal(pread(t.sock.key_fd, t.key, sizeof(t.key), 0), sizeof(t.key));
	assert_int_equal(getsockname(t.sock.listen_fd, (struct sockaddr *)&at, &n), 0);
	t.port = ntohs(at.sin_port);
	struct in_addr a = mf_cloud_address(t.key, r->key);
	(void)snprintf(t.host, sizeof(t.host), "%s:%u", inet_ntop(AF_INET, &a, ip, sizeof(ip)), t.port);
	mf_buf_init(&secret, MF_CLOUD_SECRET_MAX);
	mf_cloud_secret_put(t.key, r->key, &secret);
	memcpy(t.secret, secret.p, secret.n);
	t.aws = (Mayfly__Agent__V1__CloudOffer)MAYFLY__AGENT__V1__CLOUD_OFFER__INIT;
	t.api = t.aws;
	t.aws.grant = (char *)(uintptr_t) "data";
	t.aws.kind = (char *)(uintptr_t) "aws";
	t.aws.region = (char *)(uintptr_t) "eu-1";
	t.aws.service_endpoint = (char *)(uintptr_t) "http://127.0.0.1:7480";
	t.api.grant = (char *)(uintptr_t) "api-v1";
	t.api.kind = (char *)(uintptr_t) "bearer";
	r->offers[0] = &t.aws;
	r->offers[1] = &t.api;
	r->n_offers = 2;
	r->on_cloud = on_cloud;
	r->cfg.cloud = true;
	r->cfg.cloud_fd = t.sock.listen_fd;
	r->cfg.cloud_diag_fd = t.sock.diag_fd;
	r->cfg.cloud_key = t.key;
	t.sock.listen_fd = -1;
	*state = r;
	return 0;
}

int
mf_crig_teardown(void **state)
{
	struct rig *r = *state;
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/cloud-endpoint", r->dir);
	(void)unlink(path);
	mf_frig_free(r);
	mf_cloud_socket_close(&t.sock);
	return 0;
}

void
mf_crig_dial(struct rig *r, struct rig_http *c, const char *ip)
{
	struct in_addr a = mf_cloud_address(t.key, r->key);
	if (ip != NULL)
		assert_int_equal(inet_pton(AF_INET, ip, &a), 1);
	mf_rig_http_dial(r, c, a, t.port);
}

void
mf_crig_get(struct rig_http *c, const char *path, const char *host, const char *secret, const char *more)
{
	char text[4096];
	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s\r\nauthorization: %s\r\n%s\r\n", path,
	    host, secret, more);
	mf_rig_http_say(c, text);
}

void
mf_crig_good(struct rig_http *c, const char *path)
{
	mf_crig_get(c, path, t.host, t.secret, "Accept: text/html\r\n");
}

int
mf_crig_get_once(struct rig *r, const char *path)
{
	struct rig_http c;
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, path);
	int code = mf_rig_http_hear(&c);
	(void)close(c.fd);
	return code;
}

void
mf_crig_expand(const char *request, char *to, size_t n)
{
	size_t at = 0;
	for (const char *p = request; *p != '\0'; p++) {
		const char *with = strncmp(p, "{H}", 3) == 0   ? t.host
				   : strncmp(p, "{S}", 3) == 0 ? t.secret
							       : NULL;
		int k = with != NULL ? snprintf(to + at, n - at, "%s", with)
				     : snprintf(to + at, n - at, "%c", *p);
		at += (size_t)k;
		p += with != NULL ? 2 : 0;
	}
}
