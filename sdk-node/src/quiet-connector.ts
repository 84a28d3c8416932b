import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Milliseconds until a connection must stand. */
const connectTimeoutMs = 5_000;

/**
 * Connections that do not keep the process alive, not even while they wait for an answer: how long the end of a process may be held up is
 * said by the deadline of `flush()`, `close()` and `exitMs`, and by nothing else.
 */
export function createQuietConnector(): buildConnector.connector {
  const connect = buildConnector({ timeout: connectTimeoutMs });
  return (options, callback) => {
    // It returns the socket at once, although its type does not say so.
    const socket = connect(options, callback) as unknown as Socket;
    socket.unref();
    // The pool would count it again whenever a request is under way.
    socket.ref = () => socket;
    return socket;
  };
}
