import { once } from 'node:events';
import type { Server } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
} from 'node:http2';
import type { Socket } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import type { Certificate } from './certificate.ts';
import { refuseBroken } from './refuse-broken.ts';

/** A listening socket. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /**
   * Accepts no more connections and resolves when those there are have ended: idle ones at once, others with their reply, all of
   * them at the deadline.
   */
  close(deadlineMs: number): Promise<void>;
}

export interface Address {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Undefined: without encryption. Otherwise clients that can speak HTTP/2 do. */
  readonly certificate?: Certificate | undefined;
}

/** What a client may keep a connection waiting for, in milliseconds, and how many connections there may be. */
export interface ConnectionLimits {
  /** For all of its headers. */
  readonly headersMs: number;
  /** For its whole request. */
  readonly requestMs: number;
  /** While nothing moves, in either direction: longer than a long poll waits, and than live reads are silent. */
  readonly silentMs: number;
  /** Between two requests. Longer than load balancers keep theirs, so that they never send into a connection that is being closed. */
  readonly keepAliveMs: number;
  /** Between two looks at the first two of these. */
  readonly lookMs: number;
  /** Beyond it a new connection is closed at once. */
  readonly connectionsMax: number;
}

export const connectionLimits: ConnectionLimits = {
  headersMs: 20_000,
  requestMs: 60_000,
  silentMs: 60_000,
  keepAliveMs: 75_000,
  lookMs: 2_000,
  connectionsMax: 10_000,
};

/** HTTP/2 requests under way on a connection, and what it may keep in memory beside their bodies, in MB. */
const streamsMax = 128;
const sessionMegabytesMax = 4;

const idleLookMs = 50;

/** Rejects with the error of the socket, such as EADDRINUSE. */
export async function listen(
  app: Hono,
  address: Address,
  clock: Pick<Clock, 'every' | 'after'>,
  limits: ConnectionLimits = connectionLimits,
): Promise<Listener> {
  const { certificate } = address;
  const { server, endIdle } =
    certificate === undefined ? createPlain(app, limits) : createEncrypted(app, limits, certificate);
  const sockets = new Set<Socket>();
  // Node forgets connections that it has given up parsing, and would wait for them for ever. Its own limit on their number is of no use to
  // workers that share a port: they would hand what is too much to each other without end.
  server.on('connection', (socket: Socket) => {
    if (sockets.size >= limits.connectionsMax) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('clientError', refuseBroken);
  server.listen(address.port, address.host);
  await once(server, 'listening');
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;

  return {
    host: address.host,
    port,
    async close(deadlineMs) {
      const closed = once(server, 'close');
      server.close();
      const stopLooking = clock.every(idleLookMs, endIdle);
      const stopWaiting = clock.after(deadlineMs, () => {
        for (const socket of sockets) socket.destroy();
      });
      try {
        await closed;
      } finally {
        stopLooking();
        stopWaiting();
      }
    },
  };
}

interface Serving {
  readonly server: Server | Http2SecureServer;
  /** Ends connections without a request. */
  readonly endIdle: () => void;
}

function createPlain({ fetch }: Hono, limits: ConnectionLimits): Serving {
  const serverOptions = httpOptions(limits);
  const server = createAdaptorServer({ fetch, serverOptions }) as Server;
  server.timeout = limits.silentMs;
  return {
    server,
    endIdle: () => server.closeIdleConnections(),
  };
}

function createEncrypted({ fetch }: Hono, limits: ConnectionLimits, certificate: Certificate): Serving {
  const serverOptions: SecureServerOptions = {
    ...certificate,
    ...httpOptions(limits),
    allowHTTP1: true,
    handshakeTimeout: limits.headersMs,
    maxSessionMemory: sessionMegabytesMax,
    settings: { maxConcurrentStreams: streamsMax },
  };
  const options = { fetch, createServer: createSecureServer, serverOptions };
  // Node takes these for clients that only speak HTTP/1.1 from here, not from the options.
  const server = Object.assign(createAdaptorServer(options) as Http2SecureServer, {
    ...httpOptions(limits),
    timeout: limits.silentMs,
  });
  const streamsOf = new Map<ServerHttp2Session, number>();
  server.on('session', (session) => {
    streamsOf.set(session, 0);
    session.on('close', () => streamsOf.delete(session));
    session.setTimeout(limits.keepAliveMs, () => session.destroy());
    const count = (change: number) => streamsOf.set(session, (streamsOf.get(session) ?? 0) + change);
    session.on('stream', (stream) => {
      count(1);
      stream.setTimeout(limits.silentMs, () => stream.close());
      stream.on('close', () => {
        if (!session.closed) count(-1);
      });
    });
  });
  return {
    server,
    endIdle() {
      if ('closeIdleConnections' in server) (server as unknown as Server).closeIdleConnections();
      for (const [session, streams] of streamsOf) if (streams === 0) session.close();
    },
  };
}

function httpOptions(limits: ConnectionLimits) {
  return {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: limits.lookMs,
  };
}
