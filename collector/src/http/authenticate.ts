import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import { hexHashOf, type Presented, presentedKey, type Role } from './authenticate-key.ts';
import { matchesPattern } from './authenticate-pattern.ts';
import { createKeyWatches, type KeyWatch } from './authenticate-watch.ts';

/** Who a request comes from. */
export interface Principal {
  readonly keyId: string;
  readonly role: Role;
  /** Names or patterns with `*`; null: every stream. */
  readonly streams: readonly string[] | null;
  /** Where events without a stream go; null: `default`. */
  readonly defaultStream: string | null;
  /** Origins, or patterns with `*`, of the pages that may use the key; null: any, and programs too. */
  readonly origins: readonly string[] | null;
  readonly eventsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
}

/** A stored key that works: neither revoked nor unknown. */
export interface KeyRecord extends Principal {
  readonly hash: Buffer;
}

/** What a request wants to do. */
export interface Need {
  readonly role: Role;
  /** Left out where no stream is named, or more than one. */
  readonly stream?: string;
}

/**
 * Who sent this, if they may do it; takes Hono's context. Rejects with a ProblemError: `unauthenticated` without a key or with
 * one that does not work, `forbidden` where the key lacks the role or the stream, or is not for the origin; and with whatever
 * `findKey` rejects with.
 */
export type Authenticate = (context: { readonly req: Presented }, need: Need) => Promise<Principal>;

export type WatchKey = (principal: Principal) => KeyWatch;

export interface Authenticator {
  readonly authenticate: Authenticate;
  /**
   * For replies that stay open, such as long polls and live reads: `watchKey(principal).revoked` is an AbortSignal that ends them when
   * the key was revoked. Call `stop()` when the reply has ended.
   */
  readonly watchKey: WatchKey;
}

export interface AuthenticatorDependencies {
  readonly findKey: (hash: Buffer) => Promise<KeyRecord | undefined>;
  readonly clock: Pick<Clock, 'monotonicMs' | 'random' | 'every'>;
}

/** Used without a question. */
const freshMs = 1_500;
/** Used once more while the question is asked. Open replies look every second, and use what is fresh: all of it is less than 5 s. */
const staleMs = 3_500;
/** Keys that are remembered, and, apart from them, hashes of which we remember that no key has them. */
const rememberedMax = 10_000;
/** Questions about keys that are not remembered, at a time: beyond it, inventing keys would be a way to occupy the database. */
const strangersMax = 64;

interface Remembered {
  readonly key: KeyRecord | undefined;
  /** When the question was asked: what was revoked before is seen. */
  readonly askedMs: number;
}

/**
 * Finds keys by their SHA-256, and remembers what it found.
 *
 * Timing tells nothing: all that is compared are hashes, and whoever sends guesses cannot choose how far the hash of a guess
 * agrees with that of a key. What was found is compared in full and in constant time nevertheless, so that not even a lookup
 * that finds too much lets anybody in; an unknown key takes the same path with a hash that nothing has. A revoked key
 * is an unknown one.
 */
export function createAuthenticator({ findKey, clock }: AuthenticatorDependencies): Authenticator {
  const known = new Map<string, Remembered>();
  const unknown = new Map<string, Remembered>();
  const asking = new Map<string, Promise<Remembered>>();
  const hashes = new WeakMap<Principal, string>();
  let strangers = 0;
  const watch = createKeyWatches({
    clock,
    async works(hash) {
      const remembered = known.get(hash);
      if (remembered !== undefined && ageMs(remembered) < freshMs) return true;
      return (await ask(hash)).key !== undefined;
    },
  });

  const ageMs = ({ askedMs }: Remembered): number => clock.monotonicMs() - askedMs;

  async function find(hash: string): Promise<KeyRecord | undefined> {
    const remembered = known.get(hash) ?? unknown.get(hash);
    if (remembered !== undefined && ageMs(remembered) < staleMs) {
      // Whoever comes when it is no longer stale learns of a failure.
      if (ageMs(remembered) >= freshMs) ask(hash).catch(() => undefined);
      return remembered.key;
    }
    return (await ask(hash)).key;
  }

  /** Many who ask for the same at once share the answer. */
  function ask(hash: string): Promise<Remembered> {
    const underWay = asking.get(hash);
    if (underWay !== undefined) return underWay;
    const question = askDatabase(hash).finally(() => asking.delete(hash));
    asking.set(hash, question);
    return question;
  }

  async function askDatabase(hash: string): Promise<Remembered> {
    const stranger = !known.has(hash);
    if (stranger && strangers >= strangersMax) {
      throw new ProblemError(
        createProblem('overloaded', `${strangersMax} other keys are being looked up: send again later.`, {
          retryAfterMs: Math.ceil(1_000 * (1 + clock.random())),
        }),
      );
    }
    if (stranger) strangers += 1;
    try {
      const askedMs = clock.monotonicMs();
      const bytes = Buffer.from(hash, 'hex');
      const found = await findKey(bytes);
      const remembered = { key: sameHash(found, bytes) ? found : undefined, askedMs };
      known.delete(hash);
      unknown.delete(hash);
      remember(remembered.key === undefined ? unknown : known, hash, remembered);
      return remembered;
    } finally {
      if (stranger) strangers -= 1;
    }
  }

  return {
    async authenticate({ req: request }, { role, stream }) {
      const key = presentedKey(request);
      if (key === undefined)
        throw unauthenticated('Send a key as "Authorization: Bearer <key>" or as ?key=.');
      const hash = hexHashOf(key);
      const principal = await find(hash);
      if (principal === undefined) throw unauthenticated('The key is unknown or was revoked.');
      requireOrigin(principal, request);
      requireRole(principal, role);
      if (stream !== undefined) requireStream(principal, stream);
      hashes.set(principal, hash);
      return principal;
    },
    watchKey(principal) {
      const hash = hashes.get(principal);
      if (hash === undefined) throw new Error('Only who was authenticated here can be watched');
      return watch(hash);
    },
  };
}

/** A write key can only write, a read key only read; an admin key is for everything. */
function requireRole(principal: Principal, role: Role): void {
  if (principal.role === role || principal.role === 'admin') return;
  throw forbidden(`This is a ${principal.role} key; a key with the role ${role} is needed here.`);
}

/** Whether the key reaches this stream; what it may do there is its role. */
export function mayUseStream(principal: Principal, stream: string): boolean {
  return (
    principal.role === 'admin' ||
    principal.streams === null ||
    principal.streams.some((pattern) => matchesPattern(pattern, stream))
  );
}

function requireStream(principal: Principal, stream: string): void {
  if (!mayUseStream(principal, stream))
    throw forbidden(`This key is not for the stream ${stream.slice(0, 80)}.`);
}

/**
 * A key that is bound to origins is for pages: it is refused where the browser names another origin, or none is named. Images
 * have no Origin, but a Referer.
 */
function requireOrigin(principal: Principal, request: Presented): void {
  if (principal.origins === null) return;
  const origin = request.header('origin') ?? originOf(request.header('referer'));
  if (origin !== undefined && principal.origins.some((pattern) => matchesPattern(pattern, origin))) return;
  throw forbidden(
    origin === undefined
      ? 'This key is bound to origins, and the request names none.'
      : `This key is not for the origin ${origin.slice(0, 200)}.`,
  );
}

function originOf(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : undefined;
}

const nobody = Buffer.alloc(32);

function sameHash(found: KeyRecord | undefined, hash: Buffer): boolean {
  return timingSafeEqual(found?.hash ?? nobody, hash) && found !== undefined;
}

/** Drops the oldest: a Map keeps the order of insertion. */
function remember(memory: Map<string, Remembered>, hash: string, remembered: Remembered): void {
  if (memory.size >= rememberedMax) {
    const [oldest] = memory.keys();
    if (oldest !== undefined) memory.delete(oldest);
  }
  memory.set(hash, remembered);
}

const unauthenticated = (detail: string): ProblemError =>
  new ProblemError(createProblem('unauthenticated', detail));

const forbidden = (detail: string): ProblemError => new ProblemError(createProblem('forbidden', detail));
