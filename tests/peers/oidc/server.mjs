// A real OpenID provider (oidc-provider, as tests/setup has installed it), and beside it, below /github, a small server
// that answers as GitHub's documentation has it: GitHub itself is out of the tests' reach.
//
//   node server.mjs MODULES PORT
//
// People sign in with any name and password. What differs from the ordinary is set by POST /control:
//   callbacks: where clients may be sent back to     rotate: exchange the signing key
//   people: {name: claims}                            tamper: {claims, key, hmac, none}: of the next ID tokens
//   in_token: claims in the ID token, too             github: {id, login, name, emails, deny}
import crypto from 'node:crypto';
import http from 'node:http';
import { pathToFileURL } from 'node:url';

// Debian 12's Node.js is older than the provider asks for; these two are all that it lacks.
globalThis.crypto ??= crypto.webcrypto;
URL.parse ??= (url, relative) => (URL.canParse(url, relative) ? new URL(url, relative) : null);
const [modules, port] = process.argv.slice(2);
const library = pathToFileURL(`${modules}/node_modules/oidc-provider/lib/index.js`);
const { Provider } = await import(library);

const base = `http://127.0.0.1:${port}`;
const client = { id: 'towline', secret: 'a secret of the tests' };
const state = { callbacks: [], people: {}, tamper: null, in_token: false, github: {} };
let key;
let handler;

function makeKey() {
  const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { privateKey, kid: crypto.randomUUID() };
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// The same word, changed and signed anew.
function tampered(token) {
  const { claims, key: which, hmac, none } = state.tamper;
  const payload = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  const header = { alg: hmac ? 'HS256' : none ? 'none' : 'RS256', kid: hmac || none ? undefined : key.kid };
  const text = `${encode(header)}.${encode({ ...payload, ...claims })}`;
  if (none) return `${text}.`;
  if (hmac) return `${text}.${crypto.createHmac('sha256', client.secret).update(text).digest('base64url')}`;
  const signer = which === 'other' ? makeKey() : key;
  return `${text}.${crypto.sign('sha256', Buffer.from(text), signer.privateKey).toString('base64url')}`;
}

function makeProvider() {
  const jwk = { ...key.privateKey.export({ format: 'jwk' }), kid: key.kid, alg: 'RS256', use: 'sig' };
  const provider = new Provider(base, {
    clients: [{ client_id: client.id, client_secret: client.secret, redirect_uris: state.callbacks }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: !state.in_token,
    cookies: { keys: ['a key of the tests'] },
    jwks: { keys: [jwk] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: true, name: id, ...state.people[id] }),
    }),
  });
  provider.use(async (ctx, next) => {
    await next();
    if (state.tamper && ctx.body?.id_token) ctx.body.id_token = tampered(ctx.body.id_token);
  });
  return provider.callback();
}

async function body(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function json(response, status, value) {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' }).end(JSON.stringify(value));
}

const codes = new Map();
const tokens = new Set();

// GitHub asks the person, who agrees at once.
function authorize(response, query) {
  const to = new URL(query.get('redirect_uri'));
  const known = query.get('client_id') === client.id && state.callbacks.includes(to.href);
  if (!known || query.get('code_challenge_method') !== 'S256') return json(response, 404, {});
  to.searchParams.set('state', query.get('state'));
  if (state.github.deny) {
    to.searchParams.set('error', 'access_denied');
  } else {
    const code = crypto.randomBytes(10).toString('hex');
    codes.set(code, query.get('code_challenge'));
    to.searchParams.set('code', code);
  }
  response.writeHead(302, { Location: to.href }).end();
}

// What is wrong is said with the status 200, as GitHub does.
async function exchange(request, response) {
  const form = new URLSearchParams(await body(request));
  const challenge = codes.get(form.get('code'));
  codes.delete(form.get('code'));
  const verifier = form.get('code_verifier') ?? '';
  const shown = crypto.createHash('sha256').update(verifier).digest('base64url');
  const known = form.get('client_id') === client.id && form.get('client_secret') === client.secret;
  if (!known) return json(response, 200, { error: 'incorrect_client_credentials' });
  if (challenge !== shown || !state.callbacks.includes(form.get('redirect_uri'))) {
    return json(response, 200, { error: 'bad_verification_code', error_description: 'The code is incorrect.' });
  }
  const token = `gho_${crypto.randomBytes(18).toString('hex')}`;
  tokens.add(token);
  return json(response, 200, { access_token: token, token_type: 'bearer', scope: 'read:user,user:email' });
}

function show(request, response, value) {
  const [, token] = (request.headers.authorization ?? '').split('Bearer ');
  if (!request.headers['user-agent']) return json(response, 403, { message: 'a User-Agent is required' });
  return tokens.has(token) ? json(response, 200, value) : json(response, 401, { message: 'Bad credentials' });
}

async function github(request, response, url) {
  const { id, login, name, emails } = state.github;
  switch (`${request.method} ${url.pathname.slice('/github'.length)}`) {
    case 'GET /login/oauth/authorize': return authorize(response, url.searchParams);
    case 'POST /login/oauth/access_token': return exchange(request, response);
    case 'GET /api/v3/user': return show(request, response, { id, login, name, email: 'anybody@example.net' });
    case 'GET /api/v3/user/emails': return show(request, response, emails);
    default: return json(response, 404, {});
  }
}

async function control(request, response) {
  const { rotate, ...changed } = JSON.parse(await body(request));
  Object.assign(state, changed);
  if (rotate || !key) key = makeKey();
  if (rotate || 'callbacks' in changed || 'in_token' in changed) handler = makeProvider();
  json(response, 200, {});
}

http.createServer((request, response) => {
  const url = new URL(request.url, base);
  if (url.pathname === '/control') return control(request, response);
  if (url.pathname.startsWith('/github/')) return github(request, response, url);
  return handler(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
