// An OAuth authorization server (oidc-provider) and one protected resource behind it: server.mjs CONFIG.json
//
// CONFIG: { "port": N, "resource": URI, "scopes": "read write", "ttl": seconds, "clients": [client metadata...],
//           "tls": { "key": FILE, "cert": FILE, "client_ca": FILE },         optional: https, with client certificates
//           "trust": { "issuer": URL, "jwks": URL, "subject": PREFIX } }     optional: whose tokens may be exchanged
//
// GET /thing is the resource: 200 with what introspection says of the bearer, 401 for a token that is not active.
// SIGHUP reads the files of `tls` again.
import http from 'node:http';
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Provider, errors } from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = `${config.tls ? 'https' : 'http'}://localhost:${config.port}`;
const ttl = config.ttl ?? 300;
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const bearerGrant = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const resourceInfo = { scope: config.scopes, accessTokenTTL: ttl, accessTokenFormat: 'opaque' };
const tokenType = 'urn:ietf:params:oauth:token-type:';

const provider = new Provider(issuer, {
  clients: config.clients,
  scopes: config.scopes.split(' '),
  clientAuthMethods: ['private_key_jwt', 'tls_client_auth', 'client_secret_basic'],
  fetch: (url, { dispatcher, ...options }) => fetch(url, options), // jwks_uri may be on loopback
  extraTokenClaims: (ctx) => ctx.oidc.subject && { sub: ctx.oidc.subject },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      certificateBoundAccessTokens: true,
      getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.()?.toString(),
      certificateAuthorized: (ctx) => ctx.socket.authorized === true,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_uri'
        && (ctx.socket.getPeerX509Certificate()?.subjectAltName ?? '').split(', ').includes(`URI:${expected}`),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => config.resource,
      getResourceServerInfo: (ctx, uri) => {
        if (uri !== config.resource) throw new errors.InvalidTarget();
        return resourceInfo;
      },
    },
  },
  ttl: { ClientCredentials: ttl },
});
provider.proxy = false;

// A foreign issuer's token becomes ours: RFC 8693 and RFC 7523 2.1, for a client that has shown who it is.
const keys = config.trust && createRemoteJWKSet(new URL(config.trust.jwks), { cacheMaxAge: 0, cooldownDuration: 0 });
async function subjectOf(token) {
  if (!keys) throw new errors.InvalidGrant('no issuer is trusted');
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer: config.trust.issuer, audience: issuer, requiredClaims: ['exp', 'sub', 'jti'], algorithms: ['RS256', 'ES256'],
    });
    if (!payload.sub.startsWith(config.trust.subject)) throw new Error('subject is not trusted');
    if (!await provider.ReplayDetection.unique(payload.iss, payload.jti, payload.exp)) throw new Error('token was used before');
    return payload.sub;
  } catch (cause) {
    throw new errors.InvalidGrant(`subject token: ${cause.message}`);
  }
}
async function issue(ctx, answer) {
  const { client, params } = ctx.oidc;
  if (params.resource !== undefined && params.resource !== config.resource) throw new errors.InvalidTarget();
  const may = (client.scope ?? '').split(' ').filter((s) => config.scopes.split(' ').includes(s));
  const wanted = (params.scope ?? '').split(' ').filter(Boolean);
  const over = wanted.find((s) => !may.includes(s));
  if (over) throw new errors.InvalidScope('not a scope of this client', over);
  const token = new provider.ClientCredentials({ client, scope: wanted.join(' ') || undefined });
  token.resourceServer = new provider.ResourceServer(config.resource, resourceInfo);
  const value = await token.save();
  ctx.body = { access_token: value, expires_in: token.expiration, scope: token.scope, token_type: token.tokenType, ...answer };
}
provider.registerGrantType(exchange, async (ctx) => {
  const p = ctx.oidc.params;
  if (p.subject_token_type !== `${tokenType}jwt`) throw new errors.InvalidRequest('subject_token_type must be jwt');
  if (p.requested_token_type && p.requested_token_type !== `${tokenType}access_token`) {
    throw new errors.InvalidRequest('only access tokens are given');
  }
  ctx.oidc.subject = await subjectOf(p.subject_token ?? '');
  await issue(ctx, { issued_token_type: `${tokenType}access_token` });
}, ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'audience', 'scope']);
provider.registerGrantType(bearerGrant, async (ctx) => {
  ctx.oidc.subject = await subjectOf(ctx.oidc.params.assertion ?? '');
  await issue(ctx, {});
}, ['assertion', 'resource', 'scope']);

async function thing(req, res) {
  const [, value] = /^Bearer (\S+)$/.exec(req.headers.authorization ?? '') ?? [];
  const token = value && await provider.ClientCredentials.find(value);
  const bound = token?.['x5t#S256'];
  const good = token?.isValid && token.aud === config.resource
    && (!bound || req.socket.getPeerX509Certificate?.()?.fingerprint256.replaceAll(':', '').toLowerCase()
      === Buffer.from(bound, 'base64url').toString('hex'));
  res.writeHead(good ? 200 : 401, { 'content-type': 'application/json' });
  res.end(JSON.stringify(good ? { client: token.clientId, scope: token.scope, sub: token.extra?.sub } : { error: 'invalid_token' }));
}
const app = provider.callback();
const handler = (req, res) => {
  console.log(req.method, req.url.split('?')[0]);
  if (req.url === '/thing') thing(req, res); else app(req, res);
};
provider.on('server_error', (ctx, error) => console.log('server_error', error));
provider.on('grant.error', (ctx, error) => console.log('grant.error', error.error, error.error_description, error.error_detail ?? ''));

const secure = () => ({
  key: readFileSync(config.tls.key), cert: readFileSync(config.tls.cert), ca: readFileSync(config.tls.client_ca),
  requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2',
});
const server = config.tls ? https.createServer(secure(), handler) : http.createServer(handler);
if (config.tls) process.on('SIGHUP', () => { server.setSecureContext(secure()); console.log('read again'); });
server.listen(config.port, '127.0.0.1', () => console.log('ready', issuer));
