import type { Duplex } from 'node:stream';

/**
 * Answers what is no HTTP as Node does, with one exception: a request whose connection ended in the middle gets no answer. Node would say
 * 400, and a client must not send again what is answered so, though all that happened is that the network cut it. For a server's
 * `clientError`.
 */
export function refuseBroken(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'HPE_INVALID_EOF_STATE' || !socket.writable || isAnswering(socket)) {
    socket.destroy(error);
    return;
  }
  const status = brokenStatuses.get(error.code) ?? '400 Bad Request';
  // Nobody reads from this connection any more, so that its other end would never be noticed: the server could not close.
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`, () => socket.destroy(error));
}

const brokenStatuses: ReadonlyMap<string | undefined, string> = new Map([
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', '413 Payload Too Large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
]);

/** An answer has begun: another one would end up in its middle. Node knows this of its sockets. */
function isAnswering(socket: Duplex): boolean {
  const { _httpMessage: message } = socket as {
    readonly _httpMessage?: { readonly headersSent?: boolean } | null;
  };
  return message?.headersSent === true;
}
