// The caller: a token with the service's secret and algorithm, of an account that was alive at most 3 s ago.
import { createVerifier } from 'fast-jwt';
import { refusal, rows, statements } from './database.mjs';

const TRUSTED_FOR_MS = 3000;
const MAX_KEPT = 50_000;

const verify = createVerifier({ key: process.env.JWT_SECRET, algorithms: ['HS256'], cache: MAX_KEPT });
const checkedAt = new Map();

// The claims of a valid access token; `undefined` for any other.
function claimsOf(token) {
  try {
    const claims = verify(token ?? '');
    return claims.typ === 'access' ? claims : undefined;
  } catch {
    return undefined;
  }
}

async function isLive(pool, { sub, sid = null }) {
  const key = sid === null ? sub : `${sub} ${sid}`;
  const now = Date.now();
  if (now - (checkedAt.get(key) ?? 0) < TRUSTED_FOR_MS) return true;
  const found = await rows(pool, statements.findLive, [sub, sid]);
  if (found.length === 0) return false;
  if (checkedAt.size >= MAX_KEPT) checkedAt.clear();
  checkedAt.set(key, now);
  return true;
}

// The claims of a token whose account is alive; `undefined` for any other.
export async function caller(pool, token) {
  const claims = claimsOf(token);
  return claims && (await isLive(pool, claims)) ? claims : undefined;
}

// A hook that sets `request.user`, of this role if one is named.
export function only(pool, role) {
  return async (request) => {
    const header = request.headers.authorization;
    const user = await caller(pool, header?.startsWith('Bearer ') ? header.slice(7) : undefined);
    if (!user) throw refusal(401, 'an access token is required');
    if (role && user.role !== role) throw refusal(403, `this is for a ${role} only`);
    request.user = user;
  };
}
