#include "codec/issuer.h"

#include "base/limits.h"
#include "codec/url.h"

static bool
plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '-' || c == '_' || c == '~';
}

static bool
path_ok(struct mf_slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] != '/') {
			if (!plain(path.p[i]))
				return false;
		} else if (i + 1 == path.n || path.p[i + 1] == '/' || path.p[i + 1] == '.') {
			return false;
		}
	}
	return true;
}

const char *
mf_issuer_check(struct mf_slice url)
{
	struct mf_url u;
	if (url.n <= MF_LIM_ISSUER && mf_url_parse(url, &u, NULL) == MF_OK && u.query.n == 0 &&
	    path_ok(u.path) && memchr(url.p, '?', url.n) == NULL)
		return NULL;
	return "must be a URL such as https://oidc.example.org/td1: at most 255 bytes, a plain path, no "
	       "query and no "
	       "\"/\" at its end";
}

const char *
mf_issuer_path(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host == NULL ? NULL : strchr(host + 3, '/');
	return path == NULL ? "" : path;
}
