import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { WireRequest } from './request.ts';

/** A reply as it came over the wire. */
export interface WireReply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** It came to its end. */
  readonly whole: boolean;
}

/** How long a whole reply to a sound request may take, in milliseconds: beyond it the collector counts as stuck. */
const answerMsMax = 45_000;
/** Replies that stay open by intent are left after this time; a broken request is left when nothing has come for so long. */
const liveMs = 500;
const silentMs = 150;

/** A connection that is used again while the requests on it are sound. */
export interface Connection {
  /** All that came back. Empty: the connection was closed without an answer. */
  send(request: WireRequest): Promise<readonly WireReply[]>;
  close(): void;
}

/** Rejects when nobody listens any more. */
export function createConnection(host: string, port: number): Connection {
  let kept: Socket | undefined;

  async function open(): Promise<Socket> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, 'connect');
    // Whoever is reading learns of it by the close that follows.
    socket.on('error', () => {});
    return socket;
  }

  return {
    async send(request) {
      const reused = kept !== undefined && request.sound;
      const socket = request.sound ? (kept ?? (await open())) : await open();
      if (request.sound) kept = undefined;
      const { replies, reusable } = await exchange(socket, request);
      if (reusable && request.sound) kept = socket;
      else socket.destroy();
      // The other side may close a connection that was kept at any time.
      if (replies.length === 0 && reused) return this.send(request);
      return replies;
    },
    close: () => void kept?.destroy(),
  };
}

function exchange(
  socket: Socket,
  request: WireRequest,
): Promise<{ replies: WireReply[]; reusable: boolean }> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    let timer = setTimeout(leave, request.sound ? answerMsMax : silentMs);

    function finish(replies: WireReply[], reusable: boolean): void {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve({ replies, reusable });
    }
    function leave(): void {
      finish(repliesIn(received, request.method, false), false);
    }
    function onClose(): void {
      finish(repliesIn(received, request.method, true), false);
    }
    function onData(chunk: Buffer): void {
      received = Buffer.concat([received, chunk]);
      const replies = repliesIn(received, request.method, false);
      const last = replies.at(-1);
      if (!request.sound || last === undefined) {
        if (!request.sound) restart(silentMs);
      } else if (last.whole && last.status >= 200) {
        finish(replies, last.headers.get('connection') !== 'close');
      } else if (last.headers.get('content-type')?.startsWith('text/event-stream') === true) restart(liveMs);
    }
    function restart(ms: number): void {
      clearTimeout(timer);
      timer = setTimeout(leave, ms);
    }

    socket.on('data', onData);
    socket.on('close', onClose);
    socket.write(request.bytes);
  });
}

/** As far as they have come. `closed`: nothing more will. */
function repliesIn(bytes: Buffer, method: string, closed: boolean): WireReply[] {
  const replies: WireReply[] = [];
  let at = 0;
  while (at < bytes.length) {
    const headEnd = bytes.indexOf('\r\n\r\n', at, 'latin1');
    if (headEnd === -1) break;
    const [first = '', ...lines] = bytes.toString('latin1', at, headEnd).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(`${first} `)?.[1]);
    const headers = new Map(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    const start = headEnd + 4;
    const { body, end } = bodyIn(bytes, start, status, method, headers);
    replies.push({ status, headers, body, whole: end !== undefined || closed });
    if (end === undefined) break;
    at = end;
  }
  return replies;
}

function bodyIn(
  bytes: Buffer,
  start: number,
  status: number,
  method: string,
  headers: ReadonlyMap<string, string>,
): { body: Buffer; end: number | undefined } {
  const none = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  if (none) return { body: Buffer.alloc(0), end: start };
  const length = headers.get('content-length');
  if (length !== undefined) {
    const end = start + Number(length);
    return { body: bytes.subarray(start, end), end: end <= bytes.length ? end : undefined };
  }
  if (headers.get('transfer-encoding') !== 'chunked')
    return { body: bytes.subarray(start), end: headers.get('connection') === 'close' ? undefined : start };
  const parts: Buffer[] = [];
  for (let at = start; ; ) {
    const line = bytes.indexOf('\r\n', at, 'latin1');
    if (line === -1) return { body: Buffer.concat(parts), end: undefined };
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    if (!(size >= 0) || bytes.length < line + 4 + size) return { body: Buffer.concat(parts), end: undefined };
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 4 + size;
    if (size === 0) return { body: Buffer.concat(parts), end: at };
  }
}
