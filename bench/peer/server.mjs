// oidc-provider beside svidgate: client_credentials with private_key_jwt (ES256)
// for JWT access tokens (ES256), everything in memory, over TLS on loopback. It is
// configured with what the job needs and nothing else; bench/table starts it.
//
//   node server.mjs CERTIFICATE KEY ISSUER RESOURCE CLIENTS CLIENT-JWK
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [certificate, key, issuer, resource, clients, clientJWK] = process.argv.slice(2);
const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const jwks = { keys: [JSON.parse(clientJWK)] };
const api = {
  audience: resource,
  scope: 'read',
  accessTokenFormat: 'jwt',
  accessTokenTTL: 300,
  jwt: { sign: { alg: 'ES256' } },
};

const provider = new Provider(issuer, {
  clients: Array.from({ length: Number(clients) }, (_, n) => ({
    client_id: `client-${n}`,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    id_token_signed_response_alg: 'ES256', // the only kind of key there is
    scope: 'read',
    jwks,
  })),
  clientAuthMethods: ['private_key_jwt'],
  scopes: ['read'],
  jwks: { keys: [{ ...signing, alg: 'ES256', use: 'sig', kid: 'key-1' }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => api,
    },
  },
});

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback());
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const { address, port } = server.address();
  console.error(`ready ${address}:${port}`);
});
process.on('SIGTERM', () => process.exit(0));
