import { defaultLimits, limits } from '@tidemark/core/wire';
import { describe, expect, test } from 'vitest';
import { configuration, readConfig } from '../../../collector/src/config.ts';

const keys = {
  TIDEMARK_WRITE_KEY: 'write-key-0123456789',
  TIDEMARK_READ_KEY: 'read-key-0123456789',
  TIDEMARK_ADMIN_KEY: 'admin-key-0123456789',
};

function mistakesOf(environment: Record<string, string>): readonly string[] {
  const read = readConfig(environment);
  return read.ok ? [] : read.mistakes;
}

describe('the environment', () => {
  test('may be empty: the defaults are the published ones', () => {
    expect(readConfig({})).toEqual({
      ok: true,
      config: {
        host: '127.0.0.1',
        port: 8787,
        databaseUrl: undefined,
        dataDirectory: '.tidemark',
        writeKey: undefined,
        readKey: undefined,
        adminKey: undefined,
        maxStreams: 10_000,
        workers: 1,
        connectionsMax: 10_000,
        logLevel: 'info',
        limits: defaultLimits,
        inflightBytesMax: 64 * 1024 * 1024,
        inflightRequestsMax: 4_096,
        queueAgeMsMax: 2_000,
        openReadsMax: 2_000,
        spoolDirectory: undefined,
        spoolBytesMax: 1_073_741_824,
        spoolAfterMs: 1_000,
        deadLetterBytesMax: 67_108_864,
        deadLetterDays: 30,
        trustedProxies: [],
        writeConnections: 2,
        readConnections: 4,
      },
    });
  });

  test('sets what it names, and other programs may have variables of their own', () => {
    const read = readConfig({
      ...keys,
      PATH: '/usr/bin',
      HOST: '::',
      PORT: '0',
      DATABASE_URL: 'postgres://me:secret@one:5432,two:5433/events',
      TIDEMARK_LIMIT_BATCH_EVENTS: '10',
      TIDEMARK_LOG_LEVEL: 'debug',
    });
    expect(read).toMatchObject({
      ok: true,
      config: {
        host: '::',
        port: 0,
        databaseUrl: 'postgres://me:secret@one:5432,two:5433/events',
        writeKey: keys.TIDEMARK_WRITE_KEY,
        limits: { batchEvents: 10 },
        logLevel: 'debug',
      },
    });
  });

  test('counts an empty variable as absent', () => {
    expect(readConfig({ PORT: '', TIDEMARK_WRITE_KEY: '', DATABASE_URL: '' })).toMatchObject({
      ok: true,
      config: { port: 8787, writeKey: undefined, databaseUrl: undefined },
    });
  });

  test('has all its mistakes listed at once', () => {
    const mistakes = mistakesOf({
      PORT: '70000',
      HOST: 'http://here',
      TIDEMARK_LOG_LEVEL: 'loud',
      TIDEMARK_LIMIT_BODY_BYTE: '5',
      TIDEMARK_LIMIT_JSON_DEPTH: '1e1',
      TIDEMARK_LIMIT_EVENT_BYTES: '-1',
      TIDEMARK_NOVEL: 'x',
    });
    expect(mistakes).toEqual([
      'TIDEMARK_LIMIT_BODY_BYTE is not a variable of this version; did you mean TIDEMARK_LIMIT_BODY_BYTES?',
      'TIDEMARK_NOVEL is not a variable of this version',
      expect.stringMatching(/^HOST is "http:\/\/here": must be a host name/),
      'PORT is "70000": must be a whole number from 0 to 65535',
      expect.stringMatching(/^TIDEMARK_LOG_LEVEL is "loud": must be one of fatal, /),
      expect.stringMatching(/^TIDEMARK_LIMIT_EVENT_BYTES is "-1": must be a whole number from 1 to /),
      expect.stringMatching(/^TIDEMARK_LIMIT_JSON_DEPTH is "1e1": /),
    ]);
  });

  test('trusted proxies are addresses and networks, of both families', () => {
    const read = (text: string) => readConfig({ TIDEMARK_TRUSTED_PROXIES: text });
    const good = read('10.0.0.0/8, 192.0.2.7,fd00::/8,::1');
    expect(good.ok && good.config.trustedProxies).toEqual(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '::1']);
    for (const bad of [
      'proxy.example',
      '10.0.0.0/33',
      '10.0.0.0/',
      'fd00::/129',
      '10.0.0.1,',
      '10.0.0/8',
      '*',
    ])
      expect([bad, read(bad).ok]).toEqual([bad, false]);
  });

  test.each([
    ['a misspelt one', 'TIDEMARK_WRITEKEY', 'TIDEMARK_WRITE_KEY'],
    ['one in lower case', 'tidemark_max_streams', 'TIDEMARK_MAX_STREAMS'],
  ])('has unknown names found: %s', (_, name, meant) => {
    expect(mistakesOf({ [name]: '1' })).toEqual([
      `${name} is not a variable of this version; did you mean ${meant}?`,
    ]);
  });

  test.each([
    ['a key that is short', 'TIDEMARK_WRITE_KEY', 'hunter2hunter2x'],
    ['a key with white space', 'TIDEMARK_READ_KEY', 'hunter2 hunter2 hunter2'],
    ['a key that is not ASCII', 'TIDEMARK_READ_KEY', 'hunter2hunter2ü!'],
    [
      'with a colon, which Basic authentication cannot carry',
      'TIDEMARK_ADMIN_KEY',
      'hunter2:hunter2:hunter2',
    ],
    ['a URL of a database that is no URL', 'DATABASE_URL', 'hunter2@db'],
    ['a URL of a database that is not Postgres', 'DATABASE_URL', 'mysql://me:hunter2@db/x'],
    ['a URL of a database on a port that is none', 'DATABASE_URL', 'postgres://me:hunter2@db:port/x'],
  ])('has mistakes found in secrets, and not repeated: %s', (_, name, secret) => {
    const mistakes = mistakesOf({ [name]: secret });
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toContain(name);
    expect(mistakes[0]).not.toContain('hunter2');
  });

  test('has keys that differ from each other', () => {
    expect(mistakesOf({ ...keys, TIDEMARK_READ_KEY: keys.TIDEMARK_WRITE_KEY })).toEqual([
      'TIDEMARK_WRITE_KEY, TIDEMARK_READ_KEY and TIDEMARK_ADMIN_KEY must differ from each other',
    ]);
  });

  test('has a certificate together with its key', () => {
    expect(mistakesOf({ TIDEMARK_TLS_CERT: 'cert.pem' })).toEqual([
      'TIDEMARK_TLS_CERT and TIDEMARK_TLS_KEY must be set together',
    ]);
    expect(mistakesOf({ TIDEMARK_TLS_CERT: 'cert.pem', TIDEMARK_TLS_KEY: 'key.pem' })).toEqual([]);
  });

  test('has a spool that a batch of the largest size fits into', () => {
    const small = { TIDEMARK_SPOOL_DIR: '/var/spool/tidemark', TIDEMARK_LIMIT_SPOOL_BYTES: '16777215' };
    expect(readConfig(small)).toEqual({
      ok: false,
      mistakes: [
        'TIDEMARK_LIMIT_SPOOL_BYTES (16777215) must be at least twice TIDEMARK_LIMIT_INFLATED_BYTES (8388608)',
      ],
    });
    expect(readConfig({ ...small, TIDEMARK_LIMIT_SPOOL_BYTES: '16777216' })).toMatchObject({
      ok: true,
      config: { spoolDirectory: '/var/spool/tidemark', spoolBytesMax: 16_777_216 },
    });
  });

  test('has limits that are enough for every worker', () => {
    const environment = {
      TIDEMARK_WORKERS: '4',
      TIDEMARK_SPOOL_DIR: '/var/spool/tidemark',
      TIDEMARK_LIMIT_SPOOL_BYTES: String(4 * 16_777_216 - 1),
      TIDEMARK_LIMIT_INFLIGHT_BYTES: String(4 * 1_048_576 - 1),
    };
    expect(mistakesOf(environment)).toEqual([
      'TIDEMARK_LIMIT_SPOOL_BYTES (67108863, shared by 4 workers) must be at least twice TIDEMARK_LIMIT_INFLATED_BYTES (8388608)',
      'TIDEMARK_LIMIT_BODY_BYTES (1048576) must not be above TIDEMARK_LIMIT_INFLIGHT_BYTES (4194303, shared by 4 workers)',
    ]);
    expect(mistakesOf({ ...environment, TIDEMARK_WORKERS: '3' })).toEqual([]);
    expect(mistakesOf({ TIDEMARK_WORKERS: '64', TIDEMARK_SPOOL_DIR: '/var/spool/tidemark' })).toEqual([]);
  });

  test('has limits that do not contradict each other', () => {
    expect(
      mistakesOf({ TIDEMARK_LIMIT_EVENT_BYTES: '9000000', TIDEMARK_LIMIT_INFLIGHT_BYTES: '1000' }),
    ).toEqual([
      'TIDEMARK_LIMIT_EVENT_BYTES (9000000) must not be above TIDEMARK_LIMIT_INFLATED_BYTES (8388608)',
      'TIDEMARK_LIMIT_BODY_BYTES (1048576) must not be above TIDEMARK_LIMIT_INFLIGHT_BYTES (1000)',
    ]);
  });
});

describe('the table of configuration', () => {
  test('holds every limit of the wire with its default', () => {
    for (const { variable, default: value } of Object.values(limits)) {
      expect(configuration).toContainEqual(
        expect.objectContaining({ name: variable, default: String(value) }),
      );
    }
  });

  test('has each name once, and defaults that are allowed', () => {
    const names = configuration.map((entry) => entry.name);
    expect(new Set(names).size).toBe(names.length);
    const written = configuration.flatMap((entry) =>
      entry.default === undefined ? [] : [[entry.name, entry.default]],
    );
    expect(readConfig(Object.fromEntries(written))).toEqual(readConfig({}));
  });
});
