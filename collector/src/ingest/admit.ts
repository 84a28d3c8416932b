/**
 * Decides whether a request is taken on, before its body is read. What is admitted is counted in bytes and requests until it is
 * answered; at a limit others are refused, so that memory is bounded and what was admitted keeps its pace.
 *
 * No key can take all there is: it may hold up to `shareOfFree` times what is still free (the dynamic thresholds of Choudhury and Hahne,
 * 1998). A key alone may so fill eight ninths, two that want all there is eight seventeenths each, and whoever comes next finds room. How long
 * batches wait is judged key by key, as the appender lets keys take turns.
 */
export interface Admission {
  /** `bytes` is the Content-Length, or 0 where there is none and bytes are added as they come. */
  admit(bytes: number, keyId: string): Ticket | Overload;
  /** 0–1: the fullest of bytes, requests, queue, age and spool against their limits. */
  pressure(): number;
  /** When a client should come back, in milliseconds: never the same for two of them. */
  retryAfterMs(): number;
  readonly inflightBytes: number;
  readonly inflightRequests: number;
  /** Resolves when no request is under way. */
  settled(): Promise<void>;
}

export interface Ticket {
  readonly admitted: true;
  /** Counts bytes that were not announced. False: they do not fit any more. */
  add(bytes: number): boolean;
  /** To be asked before so many rows are put in the queue. False: there is no room for them any more. */
  mayWait(rows: number): boolean;
  /** To be called exactly once, when the request has been answered. */
  release(outcome: 'stored' | 'failed'): void;
}

export interface Overload {
  readonly admitted: false;
  readonly detail: string;
}

export interface AdmissionOptions {
  readonly inflightBytesMax: number;
  readonly inflightRequestsMax: number;
  readonly queueAgeMsMax: number;
  /** How long the oldest batch has been waiting to be written, in milliseconds: of a key, or of all. */
  readonly oldestWaitMs: (keyId?: string) => number;
  /** Rows that wait to be written: of a key, or of all. */
  readonly waitingRows: (keyId?: string) => number;
  /**
   * More rows do not wait. It is what keeps the pace of those that do: their age shows only later that too many were taken on, and a
   * memory that is not full yet shows nothing of it.
   */
  readonly waitingRowsMax: number;
  /** Left out: there is no spool. */
  readonly spool?: {
    /** 0–1: how much of its room it takes up. */
    readonly fill: () => number;
    /** Why nothing can be taken on now, or undefined. */
    readonly refusal: () => string | undefined;
  };
  readonly monotonicMs: () => number;
  readonly random: () => number;
}

/** What a key has under way. */
interface Held {
  bytes: number;
  requests: number;
}

const shareOfFree = 8;

export function createAdmission(options: AdmissionOptions): Admission {
  const rate = createDrainRate(options.monotonicMs);
  let bytesHeld = 0;
  let requestsHeld = 0;
  let waiting: (() => void)[] = [];

  const holders = new Map<string, Held>();

  function overload(bytes: number, own: Held, keyId: string): string | undefined {
    const { inflightBytesMax, inflightRequestsMax, queueAgeMsMax } = options;
    const refusal = options.spool?.refusal();
    if (refusal !== undefined) return refusal;
    if (requestsHeld >= inflightRequestsMax) {
      return `${requestsHeld} requests are under way, the limit is ${inflightRequestsMax}`;
    }
    // A lone request always fits, however small the limit is set.
    if (bytesHeld > 0 && bytesHeld + bytes > inflightBytesMax) {
      return `${bytesHeld} bytes are under way, the limit is ${inflightBytesMax}`;
    }
    if (own.requests >= shareOfFree * (inflightRequestsMax - requestsHeld)) {
      return `${own.requests} requests of this key are under way, and others need room too`;
    }
    if (!leavesRoom(own, bytes))
      return `${own.bytes} bytes of this key are under way, and others need room too`;
    if (!queueHasRoom(1, keyId))
      return `${options.waitingRows()} events wait to be written, the limit is ${options.waitingRowsMax}, and others need room too`;
    const waitMs = options.oldestWaitMs(keyId);
    if (waitMs > queueAgeMsMax) {
      return `the oldest batch of this key has waited ${Math.round(waitMs)} ms, the limit is ${queueAgeMsMax}`;
    }
    return undefined;
  }

  function leavesRoom(own: Held, more: number): boolean {
    return own.bytes === 0 || own.bytes + more <= shareOfFree * (options.inflightBytesMax - bytesHeld);
  }

  function queueHasRoom(rows: number, keyId: string): boolean {
    const own = options.waitingRows(keyId);
    const free = options.waitingRowsMax - options.waitingRows();
    // A lone batch always fits.
    return own === 0 ? free > 0 : rows <= free && own + rows <= shareOfFree * free;
  }

  function hold(own: Held, bytes: number, requests: number): void {
    own.bytes += bytes;
    own.requests += requests;
    bytesHeld += bytes;
    requestsHeld += requests;
  }

  function pressure(): number {
    const fullest = Math.max(
      bytesHeld / options.inflightBytesMax,
      requestsHeld / options.inflightRequestsMax,
      options.oldestWaitMs() / options.queueAgeMsMax,
      options.waitingRows() / options.waitingRowsMax,
      options.spool?.fill() ?? 0,
    );
    return Math.min(1, fullest);
  }

  return {
    admit(announced, keyId) {
      const own = holders.get(keyId) ?? { bytes: 0, requests: 0 };
      const detail = overload(announced, own, keyId);
      if (detail !== undefined) return { admitted: false, detail };
      let bytes = announced;
      hold(own, bytes, 1);
      holders.set(keyId, own);
      rate.loaded(pressure() >= loadedShare);
      return {
        admitted: true,
        add(more) {
          if (bytesHeld - bytes > 0 && bytesHeld + more > options.inflightBytesMax) return false;
          if (own.requests > 1 && !leavesRoom(own, more)) return false;
          bytes += more;
          hold(own, more, 0);
          rate.loaded(pressure() >= loadedShare);
          return true;
        },
        mayWait: (rows) => rows === 0 || queueHasRoom(rows, keyId),
        release(outcome) {
          hold(own, -bytes, -1);
          if (own.requests === 0) holders.delete(keyId);
          if (outcome === 'stored') rate.drained(bytes);
          rate.loaded(pressure() >= loadedShare);
          if (requestsHeld > 0) return;
          for (const resolve of waiting) resolve();
          waiting = [];
        },
      };
    },

    pressure,

    retryAfterMs() {
      const backlogMs = (bytesHeld / rate.bytesPerSecond()) * 1_000;
      const baseMs = Math.min(Math.max(backlogMs, retryAfterMsMin), retryAfterMsMax / 2);
      return Math.ceil(baseMs * (1 + options.random()));
    },

    settled() {
      if (requestsHeld === 0) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    },

    get inflightBytes() {
      return bytesHeld;
    },
    get inflightRequests() {
      return requestsHeld;
    },
  };
}

const retryAfterMsMin = 1_000;
const retryAfterMsMax = 60_000;

/** Load from which on the rate is measured, as a share of the limits: below it a slow rate only means that little came. */
const loadedShare = 0.25;

/** Bytes per second that were written lately under load: what a second of it brought, smoothed over about five. */
function createDrainRate(monotonicMs: () => number) {
  let perSecond = 4_000_000;
  let bytes = 0;
  let loadedMs = 0;
  let sinceMs: number | undefined;

  function settle(): void {
    if (sinceMs === undefined) return;
    const nowMs = monotonicMs();
    loadedMs += nowMs - sinceMs;
    sinceMs = nowMs;
    if (loadedMs < 1_000) return;
    const weight = Math.min(1, loadedMs / 5_000);
    perSecond = Math.max(1, perSecond * (1 - weight) + (bytes / loadedMs) * 1_000 * weight);
    bytes = 0;
    loadedMs = 0;
  }

  return {
    /** To be told whenever it may have changed. */
    loaded(isLoaded: boolean) {
      settle();
      sinceMs = isLoaded ? (sinceMs ?? monotonicMs()) : undefined;
    },
    drained(count: number) {
      if (sinceMs !== undefined) bytes += count;
    },
    bytesPerSecond() {
      settle();
      return perSecond;
    },
  };
}
