import { describe, expect, test } from 'vitest';
import {
  createAuthenticator,
  type KeyRecord,
  mayUseStream,
  type Need,
} from '../../../../collector/src/http/authenticate.ts';
import { createKey, hashKey, type Role } from '../../../../collector/src/http/authenticate-key.ts';
import { createFakeClock } from '../../../harness/clock.ts';

function createDoor() {
  const clock = createFakeClock();
  const stored = new Map<string, KeyRecord>();
  const database = { asked: 0, takesMs: 0, away: false };
  const authenticator = createAuthenticator({
    clock,
    findKey: async (hash) => {
      database.asked += 1;
      const found = stored.get(hash.toString('hex'));
      if (database.takesMs > 0) await clock.sleep(database.takesMs);
      if (database.away) throw new Error('away');
      return found;
    },
  });
  const add = (key: string, role: Role, more: Partial<KeyRecord> = {}): void => {
    const hash = hashKey(key);
    stored.set(hash.toString('hex'), {
      keyId: key,
      hash,
      role,
      streams: null,
      defaultStream: null,
      origins: null,
      eventsPerSecond: null,
      bytesPerSecond: null,
      ...more,
    });
  };
  const enter = async (
    headers: Record<string, string>,
    need: Need = { role: 'write' },
    query: Record<string, string> = {},
  ) =>
    authenticator.authenticate(
      { req: { header: (name) => headers[name], query: (name) => query[name] } },
      need,
    );
  const knock = async (key: string, need?: Need): Promise<string> =>
    enter({ authorization: `Bearer ${key}` }, need).then(
      (principal) => principal.keyId,
      (error) => error.problem?.code ?? String(error),
    );
  return { clock, stored, database, authenticator, add, enter, knock };
}

const refused = (code: string, detail: RegExp) => ({
  problem: expect.objectContaining({ code, detail: expect.stringMatching(detail) }),
});

describe('G12 the key of a request', () => {
  test('comes as Bearer, as the user of Basic, or in the query', async () => {
    const { add, enter } = createDoor();
    add('write-key-0123456789', 'write');
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const headers of [
      { authorization: 'Bearer write-key-0123456789' },
      { authorization: 'bearer   write-key-0123456789' },
      { authorization: basic('write-key-0123456789:') },
      { authorization: basic('write-key-0123456789:ignored') },
      { authorization: basic('write-key-0123456789') },
    ]) {
      expect(await enter(headers)).toMatchObject({ keyId: 'write-key-0123456789', role: 'write' });
    }
    expect(await enter({}, undefined, { key: 'write-key-0123456789' })).toMatchObject({ role: 'write' });
  });

  test.each([
    ['no header and no query', {}],
    ['an empty Bearer', { authorization: 'Bearer ' }],
    ['a key without a scheme', { authorization: 'write-key-0123456789' }],
    ['an unknown scheme', { authorization: 'Token write-key-0123456789' }],
    ['Basic without a user', { authorization: `Basic ${Buffer.from(':password').toString('base64')}` }],
  ])('is missed where there is none: %s', async (_, headers) => {
    const { add, enter, database } = createDoor();
    add('write-key-0123456789', 'write');
    await expect(enter(headers)).rejects.toMatchObject(refused('unauthenticated', /^Send a key as /));
    expect(database.asked).toBe(0);
  });

  test('lets nobody in when it is unknown, revoked, or found for another hash', async () => {
    const { add, stored, enter } = createDoor();
    add('a-good-key-0123456789', 'admin');
    const good = stored.get(hashKey('a-good-key-0123456789').toString('hex'));
    const similar = hashKey('another-key-0123456789').toString('hex');
    if (good !== undefined) stored.set(similar, good);
    for (const key of ['nonsense', 'another-key-0123456789', '__proto__', 'x'.repeat(10_000)]) {
      await expect(enter({ authorization: `Bearer ${key}` })).rejects.toMatchObject(
        refused('unauthenticated', /^The key is unknown or was revoked\.$/),
      );
    }
  });
});

describe('G12 a role', () => {
  const roles: Role[] = ['write', 'read', 'admin'];
  const cases = roles.flatMap((has) =>
    roles.map((needs) => ({ has, needs, enters: has === needs || has === 'admin' })),
  );

  test.each(cases)('$has where $needs is needed: $enters', async ({ has, needs, enters }) => {
    const { add, knock } = createDoor();
    add('some-key-0123456789', has);
    expect(await knock('some-key-0123456789', { role: needs })).toBe(
      enters ? 'some-key-0123456789' : 'forbidden',
    );
  });
});

describe('G12 a key for some streams', () => {
  test('reaches those, by name or pattern, and no others', async () => {
    const { add, enter, knock } = createDoor();
    add('some-key-0123456789', 'read', { streams: ['orders', 'web.*'] });
    const reads = (stream: string) => knock('some-key-0123456789', { role: 'read', stream });
    expect(await reads('orders')).toBe('some-key-0123456789');
    expect(await reads('web.clicks')).toBe('some-key-0123456789');
    expect(await reads('orders.eu')).toBe('forbidden');
    expect(await reads('website')).toBe('forbidden');
    const principal = await enter({ authorization: 'Bearer some-key-0123456789' }, { role: 'read' });
    expect(['orders', 'web.x', 'other'].map((stream) => mayUseStream(principal, stream))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('reaches none with an empty list, and an admin key reaches all', async () => {
    const { add, knock } = createDoor();
    add('none-key-0123456789', 'read', { streams: [] });
    add('admin-key-0123456789', 'admin', { streams: ['orders'] });
    expect(await knock('none-key-0123456789', { role: 'read', stream: 'orders' })).toBe('forbidden');
    expect(await knock('admin-key-0123456789', { role: 'read', stream: 'web' })).toBe('admin-key-0123456789');
  });
});

describe('G12 a key bound to origins', () => {
  const origins = ['https://shop.example.com', 'https://*.example.org'];

  test.each([
    ['its origin', { origin: 'https://shop.example.com' }, true],
    ['a pattern', { origin: 'https://a.example.org' }, true],
    ['another origin', { origin: 'https://evil.example.com' }, false],
    ['the same host without encryption', { origin: 'http://shop.example.com' }, false],
    ['a longer host', { origin: 'https://shop.example.com.evil.org' }, false],
    ['an opaque origin', { origin: 'null' }, false],
    ['an image of its page', { referer: 'https://shop.example.com/cart?x=1' }, true],
    ['an image of another page', { referer: 'https://evil.org/https://shop.example.com' }, false],
    ['a referer that is no URL', { referer: 'shop' }, false],
    [
      'another origin with a good referer',
      { origin: 'https://evil.org', referer: 'https://shop.example.com/' },
      false,
    ],
    ['a program', {}, false],
  ])('%s', async (_, headers: Record<string, string>, enters) => {
    const { add, enter } = createDoor();
    add('page-key-0123456789', 'write', { origins });
    const entering = enter({ authorization: 'Bearer page-key-0123456789', ...headers });
    if (enters) expect(await entering).toMatchObject({ keyId: 'page-key-0123456789' });
    else await expect(entering).rejects.toMatchObject(refused('forbidden', /origin/));
  });

  test('is not asked for where a key is bound to none', async () => {
    const { add, knock } = createDoor();
    add('free-key-0123456789', 'write');
    expect(await knock('free-key-0123456789')).toBe('free-key-0123456789');
  });
});

describe('what is remembered', () => {
  test('spares the database, and is asked for anew before it is stale', async () => {
    const { add, knock, database, clock } = createDoor();
    add('some-key-0123456789', 'write');
    for (let i = 0; i < 100; i += 1) await knock('some-key-0123456789');
    expect(database.asked).toBe(1);
    await clock.advance(2_000);
    database.takesMs = 1_000;
    // Fresh enough to go on with, while the question is under way once.
    expect(await knock('some-key-0123456789')).toBe('some-key-0123456789');
    expect(await knock('some-key-0123456789')).toBe('some-key-0123456789');
    expect(database.asked).toBe(2);
    await clock.advance(1_000);
    await knock('some-key-0123456789');
    expect(database.asked).toBe(2);
  });

  test('does not let a revoked key in for 5 s, however it is used', async () => {
    const { add, knock, stored, clock } = createDoor();
    add('busy-key-0123456789', 'write');
    add('calm-key-0123456789', 'write');
    await knock('calm-key-0123456789');
    await knock('busy-key-0123456789');
    stored.clear();
    for (let passedMs = 0; passedMs < 5_000; passedMs += 100) {
      await knock('busy-key-0123456789');
      await clock.advance(100);
    }
    expect(await knock('busy-key-0123456789')).toBe('unauthenticated');
    expect(await knock('calm-key-0123456789')).toBe('unauthenticated');
  });

  test('shares one question among many who ask for the same at once', async () => {
    const { add, knock, database, clock } = createDoor();
    add('some-key-0123456789', 'write');
    database.takesMs = 100;
    const all = Promise.all(Array.from({ length: 50 }, () => knock('some-key-0123456789')));
    await clock.advance(100);
    expect(new Set(await all)).toEqual(new Set(['some-key-0123456789']));
    expect(database.asked).toBe(1);
  });

  test('G5 is bounded: inventing keys neither fills memory nor occupies the database', async () => {
    const { add, knock, database, clock } = createDoor();
    add('some-key-0123456789', 'write');
    await knock('some-key-0123456789');
    for (let i = 0; i < 10_001; i += 1) await knock(`invented-${i}`);
    // The known one was not pushed out, the first invented one was.
    const before = database.asked;
    await knock('some-key-0123456789');
    await knock('invented-10000');
    expect(database.asked).toBe(before);
    await knock('invented-0');
    expect(database.asked).toBe(before + 1);

    database.takesMs = 100;
    const flood = Promise.all(Array.from({ length: 100 }, (_, i) => knock(`flood-${i}`)));
    await clock.advance(2_000);
    const answers = await flood;
    expect(answers.filter((answer) => answer === 'unauthenticated')).toHaveLength(64);
    expect(answers.filter((answer) => answer === 'overloaded')).toHaveLength(36);
    // A known key is looked up even so.
    const again = Promise.all([
      ...Array.from({ length: 100 }, (_, i) => knock(`more-${i}`)),
      knock('some-key-0123456789'),
    ]);
    await clock.advance(5_000);
    expect((await again).at(-1)).toBe('some-key-0123456789');
  });

  test('is not made of failures: the database being away is not a key being unknown', async () => {
    const { add, knock, database, clock } = createDoor();
    add('some-key-0123456789', 'write');
    await knock('some-key-0123456789');
    database.away = true;
    await clock.advance(2_000);
    expect(await knock('some-key-0123456789')).toBe('some-key-0123456789');
    await clock.advance(4_000);
    expect(await knock('some-key-0123456789')).toBe('Error: away');
    database.away = false;
    expect(await knock('some-key-0123456789')).toBe('some-key-0123456789');
  });
});

describe('G12 a reply that stays open', () => {
  const key = 'open-key-0123456789';
  const header = { authorization: `Bearer ${key}` };

  /** How long after its key was revoked a reply ends, and with what. */
  async function endAfterRevoking(
    door: ReturnType<typeof createDoor>,
    revoked: AbortSignal,
  ): Promise<[number, unknown]> {
    door.stored.clear();
    for (let passedMs = 100; passedMs < 10_000; passedMs += 100) {
      await door.clock.advance(100);
      if (revoked.aborted) return [passedMs, revoked.reason];
    }
    throw new Error('It did not end');
  }

  test.each([0, 400, 900, 1_400, 1_900])(
    'ends within 5 s of the revocation, whenever the key was looked at: %i ms before',
    async (beforeMs) => {
      const door = createDoor();
      door.add(key, 'read');
      const watch = door.authenticator.watchKey(await door.enter(header, { role: 'read' }));
      await door.clock.advance(beforeMs);
      door.database.takesMs = 1_000;
      const [afterMs, reason] = await endAfterRevoking(door, watch.revoked);
      expect(afterMs).toBeLessThan(5_000);
      expect(reason).toMatchObject(refused('unauthenticated', /revoked/));
      watch.stop();
      await door.clock.advance(2_000);
      expect(door.clock.waiting()).toBe(0);
    },
  );

  test('costs one question a second for a key, however many there are, and none when all have ended', async () => {
    const { add, enter, authenticator, clock, database } = createDoor();
    add(key, 'read');
    const principal = await enter(header, { role: 'read' });
    const watches = Array.from({ length: 1_000 }, () => authenticator.watchKey(principal));
    const asked = database.asked;
    await clock.advance(10_000);
    expect(database.asked - asked).toBeGreaterThan(3);
    expect(database.asked - asked).toBeLessThanOrEqual(10);
    for (const watch of watches) watch.stop();
    expect(watches.every(({ revoked }) => !revoked.aborted)).toBe(true);
    expect(clock.waiting()).toBe(0);
  });

  test('goes on while the database is away, and ends when it is back and the key was revoked', async () => {
    const door = createDoor();
    door.add(key, 'read');
    const watch = door.authenticator.watchKey(await door.enter(header, { role: 'read' }));
    door.database.away = true;
    await door.clock.advance(20_000);
    expect(watch.revoked.aborted).toBe(false);
    door.database.away = false;
    expect((await endAfterRevoking(door, watch.revoked))[0]).toBeLessThan(5_000);
  });
});

test('a new key says its role, is long and random, and is stored as its hash', () => {
  const { randomBytes } = createFakeClock();
  const keys = (['write', 'read', 'admin'] as const).map((role) => createKey(role, randomBytes));
  for (const [at, role] of (['write', 'read', 'admin'] as const).entries()) {
    expect(keys[at]?.key).toMatch(new RegExp(`^tm_${role}_[A-Za-z0-9_-]{43}$`));
    expect(keys[at]?.hash).toEqual(hashKey(keys[at]?.key ?? ''));
  }
  expect(new Set(keys.map(({ key }) => key.slice(-43))).size).toBe(3);
});
