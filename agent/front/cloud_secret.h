/*
 * cloud_secret: what an instance needs to use the cloud endpoint: an address in 127.0.0.0/24, and a secret. Both come
 * from a key of the node's and the instance's name, so that they are the same after every start of the front, and no
 * table of them is kept. The key lives as long as the boot; the port is the node's.
 */
#ifndef MF_AGENT_FRONT_CLOUD_SECRET_H
#define MF_AGENT_FRONT_CLOUD_SECRET_H
#include <netinet/in.h>

#include "base/buf.h"

#define MF_CLOUD_KEY 32u
#define MF_CLOUD_SECRET_MAX 96u /* letters: the instance's short name, ".", 64 of hex */
#define MF_CLOUD_NAME 24u	/* of the short name */

/*
 * The address: never 127.0.0.1, which everybody uses. Two instances may have the same one: it keeps names and other
 * services from leading here, while whose a request is is told by the secret and the kernel.
 */
struct in_addr mf_cloud_address(const uint8_t key[MF_CLOUD_KEY], const char *instance_key);
/* Append the secret. */
void mf_cloud_secret_put(const uint8_t key[MF_CLOUD_KEY], const char *instance_key, struct mf_buf *to);
/* The short name that a secret begins with, for looking up whose it should be. MF_E_INVALID. */
MF_NODISCARD enum mf_status
mf_cloud_secret_name(struct mf_slice secret, char ret_name[MF_CLOUD_NAME + 1], struct mf_err *err);
/* Whether ${secret} is that of ${instance_key}; in a time that does not tell. */
bool mf_cloud_secret_is(const uint8_t key[MF_CLOUD_KEY], const char *instance_key, struct mf_slice secret);
#endif
