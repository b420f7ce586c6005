// Has the library openid-client get, redeem and refresh what a person grants, with a
// JWT-SVID as the client's proof. Settings are the first line of standard input, and
// the URL that the person came back with is the second.
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createInterface } from 'node:readline';
import * as client from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => (await lines.next()).value;
const settings = JSON.parse(await next());
const [host, port] = settings.address.split(':');
const ca = readFileSync(settings.ca);

// send reaches the server wherever it listens.
const send = (url, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const { pathname, search, hostname } = new URL(url);
  const plain = Object.fromEntries(new Headers(headers));
  const request = https.request({ host, port, servername: hostname, ca, method, path: pathname + search, headers: { ...plain, host: hostname } }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: Object.entries(answer.headers).map(([n, v]) => [n, String(v)]) })));
  });
  request.on('error', reject);
  request.end(body === undefined || body === null ? undefined : String(body));
});

// svid proves who the client is.
const svid = (_server, { client_id }, body) => {
  body.set('client_id', client_id);
  body.set('client_assertion_type', settings.assertion_type);
  body.set('client_assertion', settings.assertion);
};

const config = await client.discovery(new URL(settings.issuer), settings.client_id, {}, svid, { algorithm: 'oauth2', [client.customFetch]: send });
config[client.customFetch] = send;
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const url = await client.buildAuthorizationUrlWithPAR(config, {
  redirect_uri: settings.redirect_uri, resource: settings.resource, scope: 'read', state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
});
console.log(url.href);
const back = new URL(await next());
const tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state });
const again = await client.refreshTokenGrant(config, tokens.refresh_token);
console.log(JSON.stringify({ first: tokens.access_token, second: again.access_token, refresh: [tokens.refresh_token, again.refresh_token] }));
