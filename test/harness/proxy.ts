import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Duplex, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { callbackify } from 'node:util';

/** What the network does with one connection. */
export type Weather =
  | { readonly kind: 'fine' }
  /** It ends at once, and the server never hears of it. */
  | { readonly kind: 'refused' }
  /** Every piece takes so much longer, in each direction, and only then comes the next. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** Everything arrives so much later, in each direction, and no more slowly. */
  | { readonly kind: 'far'; readonly ms: number }
  /** After so many bytes from the client both ends are cut off: a body that breaks off in the middle. */
  | { readonly kind: 'requestCut'; readonly afterBytes: number }
  /** So many bytes of replies arrive; then both ends are cut off, after the server has answered. */
  | { readonly kind: 'replyLost'; readonly afterBytes: number }
  /** After so many bytes from one side, the other is told that there is no more of it; its own bytes still arrive. */
  | { readonly kind: 'halfClosed'; readonly side: 'client' | 'server'; readonly afterBytes: number }
  /** After so many bytes from the client nothing arrives any more, in either direction, and nobody is told. */
  | { readonly kind: 'silent'; readonly afterBytes: number };

/** A network between clients and a server, on an address that stays the same while the server comes and goes. */
export interface Proxy {
  /** Without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** Where connections go from now on; undefined: they are refused. */
  aim(port: number | undefined): void;
  /** Cuts all connections there are. */
  cut(): void;
  close(): Promise<void>;
}

/** Listens on loopback. `weather` is asked at each new connection. */
export async function startProxy(weather: () => Weather): Promise<Proxy> {
  let target: number | undefined;
  const open = new Set<Socket>();

  // Half open: each direction ends by itself, so that what is still on its way in the other one arrives.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const port = target;
    const now = weather();
    if (port === undefined || now.kind === 'refused') {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      open.add(socket);
      socket.once('close', () => open.delete(socket));
    }
    void carry(client, upstream, now);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    aim(to) {
      target = to;
    },
    cut,
    async close() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}

async function carry(client: Socket, upstream: Socket, weather: Weather): Promise<void> {
  const [there, back] = passages(weather);
  try {
    await Promise.all([pipeline(client, there, upstream), pipeline(upstream, back, client)]);
  } catch {
    // One end or the weather has broken the connection: so it is broken for both.
    client.destroy();
    upstream.destroy();
  }
}

function passages(weather: Weather): [Duplex, Duplex] {
  if (weather.kind === 'slow') return [slow(weather.ms), slow(weather.ms)];
  if (weather.kind === 'far') return [far(weather.ms), far(weather.ms)];
  if (weather.kind === 'requestCut') return [breaking(weather.afterBytes), passage()];
  if (weather.kind === 'replyLost') return [passage(), breaking(weather.afterBytes)];
  if (weather.kind === 'halfClosed') {
    const ending = endingAfter(weather.afterBytes);
    return weather.side === 'client' ? [ending, passage()] : [passage(), ending];
  }
  if (weather.kind === 'silent') return silentAfter(weather.afterBytes);
  return [passage(), passage()];
}

function passage(): Transform {
  return new Transform({ transform: (chunk: Buffer, _, done) => done(null, chunk) });
}

function slow(ms: number): Transform {
  return new Transform({ transform: (chunk: Buffer, _, done) => void setTimeout(done, ms, null, chunk) });
}

/** What is on its way is bounded by what both ends send before they wait for an answer. */
function far(ms: number): Transform {
  const underWay = new Set<Promise<unknown>>();
  return new Transform({
    transform(chunk: Buffer, _, done) {
      const arrival: Promise<unknown> = sleep(ms).then(() => {
        underWay.delete(arrival);
        return this.push(chunk);
      });
      underWay.add(arrival);
      done();
    },
    flush: (done) => callbackify(() => Promise.all(underWay))((error) => done(error)),
  });
}

function breaking(afterBytes: number): Transform {
  let left = afterBytes;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      if (chunk.length > left) {
        if (left > 0) this.push(chunk.subarray(0, left));
        // What was pushed is still carried; only then the connection breaks.
        left = 0;
        setImmediate(done, new Error('the connection broke'));
        return;
      }
      left -= chunk.length;
      done(null, chunk);
    },
  });
}

/** Ends after so many bytes; what comes later is thrown away. */
function endingAfter(afterBytes: number): Transform {
  let left = afterBytes;
  let ended = false;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      if (!ended) this.push(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0 && !ended) {
        ended = true;
        this.push(null);
      }
      done();
    },
  });
}

function silentAfter(afterBytes: number): [Duplex, Duplex] {
  let left = afterBytes;
  const there = new Transform({
    transform(chunk: Buffer, _, done) {
      if (left > 0) this.push(chunk.subarray(0, left));
      left -= chunk.length;
      done();
    },
    // Not even the end arrives.
    flush: () => undefined,
  });
  const back = new Transform({
    transform(chunk: Buffer, _, done) {
      if (left > 0) this.push(chunk);
      done();
    },
    flush: () => undefined,
  });
  return [there, back];
}
