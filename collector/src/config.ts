import { type LimitName, type Limits, limits } from '@tidemark/core/wire';
import { editDistance, host, key, networks, type Parsed, path, postgresUrl, whole } from './config-texts.ts';

/** How the collector runs: read once, at the start. */
export interface Config {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** undefined: an embedded Postgres under `dataDirectory`. */
  readonly databaseUrl: string | undefined;
  /** A hot standby from which pages are read; undefined: they are read from the primary. */
  readonly readDatabaseUrl: string | undefined;
  readonly dataDirectory: string;
  /** Fixed keys of the three roles; undefined: a stored one, made on the first start. */
  readonly writeKey: string | undefined;
  readonly readKey: string | undefined;
  readonly adminKey: string | undefined;
  readonly maxStreams: number;
  /** Processes that share the port and the limits; 1: this process does everything. */
  readonly workers: number;
  readonly logLevel: LogLevel;
  readonly limits: Limits;
  /** Bytes of bodies that are admitted and not yet answered. */
  readonly inflightBytesMax: number;
  /** Requests that are admitted and not yet answered. */
  readonly inflightRequestsMax: number;
  /** Age of the oldest waiting batch, in milliseconds. */
  readonly queueAgeMsMax: number;
  /** Reads that are open at once, long polls and live ones among them. */
  readonly openReadsMax: number;
  /** Where events go while Postgres is away; undefined: nowhere, they are refused. */
  readonly spoolDirectory: string | undefined;
  /** What the spool may take up on disk. */
  readonly spoolBytesMax: number;
  /** How long a batch waits for Postgres before it goes to the spool, in milliseconds. */
  readonly spoolAfterMs: number;
  /** Bytes of all dead letters. */
  readonly deadLetterBytesMax: number;
  readonly deadLetterDays: number;
  /** Client connections to this collector. */
  readonly connectionsMax: number;
  /** Files in PEM; undefined: HTTP without encryption. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Addresses and networks whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  readonly writeConnections: number;
  readonly readConnections: number;
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export type LogLevel = (typeof logLevels)[number];

/** A row of the table of configuration, as the documents print it. */
export interface ConfigurationEntry {
  readonly name: string;
  readonly meaning: string;
  /** As it would be written in the environment; undefined: there is none. */
  readonly default: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the environment. An empty variable counts as absent. All mistakes are found at once, each a sentence for the operator
 * that does not repeat a secret.
 */
export function readConfig(
  environment: Environment,
): { ok: true; config: Config } | { ok: false; mistakes: readonly string[] } {
  const mistakes = unknownNames(environment);

  function read<T>(variable: Variable<T>): T {
    const text = environment[variable.name];
    if (text === undefined || text === '') return variable.fallback;
    const parsed = variable.parse(text);
    if ('value' in parsed) return parsed.value;
    const shown = variable.secret ? '' : ` is ${JSON.stringify(text.slice(0, 100))}:`;
    mistakes.push(`${variable.name}${shown} ${parsed.must}`);
    return variable.fallback;
  }

  const config: Config = {
    host: read(variables.host),
    port: read(variables.port),
    databaseUrl: read(variables.databaseUrl),
    readDatabaseUrl: read(variables.readDatabaseUrl),
    dataDirectory: read(variables.dataDirectory),
    writeKey: read(variables.writeKey),
    readKey: read(variables.readKey),
    adminKey: read(variables.adminKey),
    maxStreams: read(variables.maxStreams),
    workers: read(variables.workers),
    logLevel: read(variables.logLevel),
    limits: {
      bodyBytes: read(limitVariables.bodyBytes),
      inflatedBytes: read(limitVariables.inflatedBytes),
      batchEvents: read(limitVariables.batchEvents),
      eventBytes: read(limitVariables.eventBytes),
      jsonDepth: read(limitVariables.jsonDepth),
      idCharacters: read(limitVariables.idCharacters),
      nameCharacters: read(limitVariables.nameCharacters),
      keyCharacters: read(limitVariables.keyCharacters),
    },
    inflightBytesMax: read(variables.inflightBytesMax),
    inflightRequestsMax: read(variables.inflightRequestsMax),
    queueAgeMsMax: read(variables.queueAgeMsMax),
    openReadsMax: read(variables.openReadsMax),
    spoolDirectory: read(variables.spoolDirectory),
    spoolBytesMax: read(variables.spoolBytesMax),
    spoolAfterMs: read(variables.spoolAfterMs),
    deadLetterBytesMax: read(variables.deadLetterBytesMax),
    deadLetterDays: read(variables.deadLetterDays),
    connectionsMax: read(variables.connectionsMax),
    tls: both(read(variables.tlsCert), read(variables.tlsKey)),
    trustedProxies: read(variables.trustedProxies),
    writeConnections: read(variables.writeConnections),
    readConnections: read(variables.readConnections),
  };
  mistakes.push(...contradictions(config));
  if (config.tls === undefined && read(variables.tlsCert) !== read(variables.tlsKey))
    mistakes.push('TIDEMARK_TLS_CERT and TIDEMARK_TLS_KEY must be set together');
  return mistakes.length === 0 ? { ok: true, config } : { ok: false, mistakes };
}

interface Variable<T> extends ConfigurationEntry {
  readonly fallback: T;
  readonly secret: boolean;
  readonly parse: (text: string) => Parsed<T>;
}

const variables = {
  host: variable('HOST', 'The address to listen on', '127.0.0.1', host),
  port: variable('PORT', 'The port to listen on; 0: any free one', 8787, whole(0, 65_535)),
  databaseUrl: optional('DATABASE_URL', 'A Postgres ≥ 15; absent: an embedded one', postgresUrl),
  readDatabaseUrl: optional(
    'TIDEMARK_READ_DATABASE_URL',
    'A hot standby of it, from which events are read; absent: they are read from it',
    postgresUrl,
  ),
  dataDirectory: variable(
    'TIDEMARK_DATA_DIR',
    'Where the embedded Postgres keeps its data',
    '.tidemark',
    path,
  ),
  writeKey: optional(
    'TIDEMARK_WRITE_KEY',
    'A fixed key that may write; absent: one is made on the first start',
    key,
  ),
  readKey: optional(
    'TIDEMARK_READ_KEY',
    'A fixed key that may read; absent: one is made on the first start',
    key,
  ),
  adminKey: optional(
    'TIDEMARK_ADMIN_KEY',
    'A fixed key that may do everything; absent: one is made on the first start',
    key,
  ),
  maxStreams: variable('TIDEMARK_MAX_STREAMS', 'Streams that may exist', 10_000, whole(1, 1_000_000)),
  workers: variable(
    'TIDEMARK_WORKERS',
    'Processes that share the port; limits are for all of them together',
    1,
    whole(1, 64),
  ),
  logLevel: variable<LogLevel>(
    'TIDEMARK_LOG_LEVEL',
    `What is logged: ${logLevels.join(', ')}`,
    'info',
    logLevel,
  ),
  inflightBytesMax: variable(
    'TIDEMARK_LIMIT_INFLIGHT_BYTES',
    'Bytes of request bodies that are admitted and not yet answered',
    67_108_864,
    whole(1, 2 ** 40),
  ),
  inflightRequestsMax: variable(
    'TIDEMARK_LIMIT_INFLIGHT_REQUESTS',
    'Requests that are admitted and not yet answered',
    4_096,
    whole(1, 1_000_000),
  ),
  queueAgeMsMax: variable(
    'TIDEMARK_LIMIT_QUEUE_AGE_MS',
    'Milliseconds that the oldest batch may wait before others are refused',
    2_000,
    whole(1, 60_000),
  ),
  openReadsMax: variable(
    'TIDEMARK_LIMIT_OPEN_READS',
    'Reads that are open at once, long polls and live ones among them',
    2_000,
    whole(1, 1_000_000),
  ),
  spoolDirectory: place(
    'TIDEMARK_SPOOL_DIR',
    'A folder on a local disk for events while Postgres is away, for this collector alone; absent: they are refused',
  ),
  spoolBytesMax: variable(
    'TIDEMARK_LIMIT_SPOOL_BYTES',
    'Bytes that the spool may take up on disk',
    1_073_741_824,
    whole(1, 2 ** 40),
  ),
  spoolAfterMs: variable(
    'TIDEMARK_LIMIT_SPOOL_AFTER_MS',
    'Milliseconds that a batch waits for Postgres before it goes to the spool',
    1_000,
    whole(1, 60_000),
  ),
  deadLetterBytesMax: variable(
    'TIDEMARK_LIMIT_DEAD_LETTER_BYTES',
    'Bytes of all rejected events that are kept; the oldest go first',
    67_108_864,
    whole(1, 2 ** 40),
  ),
  deadLetterDays: variable(
    'TIDEMARK_LIMIT_DEAD_LETTER_DAYS',
    'Days that a rejected event is kept',
    30,
    whole(1, 3_660),
  ),
  connectionsMax: variable(
    'TIDEMARK_LIMIT_CONNECTIONS',
    'Connections of clients; beyond it a new one is closed at once',
    10_000,
    whole(1, 1_000_000),
  ),
  tlsCert: place(
    'TIDEMARK_TLS_CERT',
    'A PEM file with the certificate and its chain, for HTTPS with HTTP/2; absent: HTTP',
  ),
  tlsKey: place('TIDEMARK_TLS_KEY', 'The PEM file with the key of that certificate'),
  trustedProxies: {
    name: 'TIDEMARK_TRUSTED_PROXIES',
    meaning:
      'Addresses or networks of proxies, with commas: their `X-Forwarded-For` says where a request comes from',
    default: undefined,
    fallback: [],
    secret: false,
    parse: networks,
  } satisfies Variable<readonly string[]>,
  writeConnections: variable(
    'TIDEMARK_WRITE_CONNECTIONS',
    'Connections to Postgres that write events, of each worker; one more is kept for streams that another transaction holds',
    2,
    whole(1, 64),
  ),
  readConnections: variable(
    'TIDEMARK_READ_CONNECTIONS',
    'Connections to Postgres that read events, of each worker',
    4,
    whole(1, 256),
  ),
};

/**
 * The limits of the wire contract. A batch has one place in a transaction's range of sequence numbers for each of its
 * events: hence the most events there can be.
 */
const limitVariables: Record<LimitName, Variable<number>> = {
  bodyBytes: limit('bodyBytes', 'Bytes of a request body on the wire', 2 ** 30),
  inflatedBytes: limit('inflatedBytes', 'Bytes of a request body after decompression', 2 ** 30),
  batchEvents: limit('batchEvents', 'Events in a batch', 65_535),
  eventBytes: limit('eventBytes', 'UTF-8 bytes of one event as it was sent', 2 ** 28),
  jsonDepth: limit('jsonDepth', 'Nesting of JSON; the event itself is level 1', 1_000),
  idCharacters: limit('idCharacters', "Characters of an event's `id`", 65_536),
  nameCharacters: limit('nameCharacters', "Characters of an event's `name`", 65_536),
  keyCharacters: limit('keyCharacters', "Characters of an event's `key`", 65_536),
};

/** Every variable the collector knows, in the order of need. */
export const configuration: readonly ConfigurationEntry[] = [
  ...Object.values(variables),
  ...Object.values(limitVariables),
].map((known) => ({ name: known.name, meaning: known.meaning, default: known.default }));

function variable<T extends string | number>(
  name: string,
  meaning: string,
  fallback: T,
  parse: Variable<T>['parse'],
): Variable<T> {
  return { name, meaning, default: String(fallback), fallback, secret: false, parse };
}

/** A variable without a default. Most of those we have are secrets: keys, and a URL with a password in it. */
function optional(
  name: string,
  meaning: string,
  parse: Variable<string>['parse'],
): Variable<string | undefined> {
  return { name, meaning, default: undefined, fallback: undefined, secret: true, parse };
}

/** A file or folder, of which there is none by default. */
function place(name: string, meaning: string): Variable<string | undefined> {
  return { ...optional(name, meaning, path), secret: false };
}

function both(cert: string | undefined, key: string | undefined): Config['tls'] {
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

function limit(name: LimitName, meaning: string, max: number): Variable<number> {
  return variable<number>(limits[name].variable, meaning, limits[name].default, whole(1, max));
}

function logLevel(text: string): Parsed<LogLevel> {
  const value = logLevels.find((level) => level === text);
  return value === undefined ? { must: `must be one of ${logLevels.join(', ')}` } : { value };
}

/** What each variable allows alone and others forbid. */
function contradictions(config: Config): string[] {
  const found: string[] = [];
  const keys = [config.writeKey, config.readKey, config.adminKey].filter((one) => one !== undefined);
  if (new Set(keys).size < keys.length) {
    found.push('TIDEMARK_WRITE_KEY, TIDEMARK_READ_KEY and TIDEMARK_ADMIN_KEY must differ from each other');
  }
  if (config.readDatabaseUrl !== undefined && config.databaseUrl === undefined) {
    found.push('TIDEMARK_READ_DATABASE_URL needs DATABASE_URL: the embedded Postgres has no standby');
  }
  const { bodyBytes, inflatedBytes, eventBytes } = config.limits;
  // Of what all workers share each has its part.
  const { workers } = config;
  const each = workers === 1 ? '' : `, shared by ${workers} workers`;
  // A batch of the largest size must fit, with what its columns add.
  if (config.spoolDirectory !== undefined && config.spoolBytesMax < 2 * inflatedBytes * workers) {
    found.push(
      `${variables.spoolBytesMax.name} (${config.spoolBytesMax}${each}) must be at least twice ${limits.inflatedBytes.variable} (${inflatedBytes})`,
    );
  }
  if (eventBytes > inflatedBytes) {
    found.push(
      `${limits.eventBytes.variable} (${eventBytes}) must not be above ${limits.inflatedBytes.variable} (${inflatedBytes})`,
    );
  }
  if (bodyBytes * workers > config.inflightBytesMax) {
    found.push(
      `${limits.bodyBytes.variable} (${bodyBytes}) must not be above ${variables.inflightBytesMax.name} (${config.inflightBytesMax}${each})`,
    );
  }
  return found;
}

/** Names with our prefix that we do not know: a misspelt limit would else go unnoticed. */
function unknownNames(environment: Environment): string[] {
  const known = configuration.map((entry) => entry.name);
  return Object.keys(environment)
    .filter((name) => /^TIDEMARK_/i.test(name) && !known.includes(name))
    .sort()
    .map((name) => {
      const [nearest] = known
        .map((candidate) => ({ candidate, distance: editDistance(name.toUpperCase(), candidate) }))
        .filter(({ distance }) => distance <= 4)
        .sort((a, b) => a.distance - b.distance);
      const hint = nearest === undefined ? '' : `; did you mean ${nearest.candidate}?`;
      return `${name} is not a variable of this version${hint}`;
    });
}
