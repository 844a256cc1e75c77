// A certified OpenID provider (npm `oidc-provider`) for the tests: node provider.mjs PORT REDIRECT_URI.
// GET /_rotate makes a new key sign; GET /_rotate?keep=no removes the old ones as well.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

function newKey() {
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  return { ...key, kid: `k-${randomUUID().slice(0, 8)}`, use: 'sig', alg: 'RS256' };
}

function provider(keys) {
  const accessTokens = { scope: 'api', audience: 'aibox-frontend', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
  const made = new Provider(issuer, {
    clients: [{
      client_id: 'aibox-frontend',
      client_secret: 'a-secret-of-the-tests-that-is-long-enough',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    }],
    jwks: { keys },
    cookies: { keys: ['only-for-tests-only-for-tests-only'] },
    pkce: { required: () => true },
    claims: { openid: ['sub', 'sid', 'auth_time'], email: ['email'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    conformIdTokenClaims: false,
    extraTokenClaims: () => ({ groups: ['members'] }),
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:aibox',
        getResourceServerInfo: () => accessTokens,
        useGrantedResource: () => true,
      },
    },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@id.example`, name: `Person ${id}`, groups: ['members'] }),
    }),
  });
  made.on('server_error', (_, error) => console.error(error));
  return made.callback();
}

let keys = [newKey()];
let serve = provider(keys);
http.createServer((request, response) => {
  if (request.url.startsWith('/_rotate')) {
    keys = [newKey(), ...(request.url.includes('keep=no') ? [] : keys)];
    serve = provider(keys);
    response.end(keys[0].kid);
    return;
  }
  serve(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log('READY'));
