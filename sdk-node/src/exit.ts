/**
 * What becomes of queued events when the process ends. One set of listeners for all clients of a thread; none while there is no client.
 *
 * - Nothing left to do (`beforeExit`): what is queued is sent, within a deadline. Once: if that failed, the process ends.
 * - SIGTERM, SIGINT: the same, and then the signal does what it would have done. If the application listens to it too, ending the
 *   process is left to the application. A second signal is not kept waiting.
 * - `process.exit()`: there is no time to send. What is queued goes to the spool, or is reported lost.
 */
export interface Leaver {
  /** Sends what is queued, or gives up at the deadline. */
  readonly flush: (timeoutMs: number) => Promise<unknown>;
  /** Puts what is left where it survives, before it returns. */
  readonly leave: () => void;
  readonly pending: () => number;
  /** Milliseconds it may take. */
  readonly exitMs: number;
}

const leavers = new Set<Leaver>();
const signals = ['SIGTERM', 'SIGINT'] as const;
let gaveUp = false;
let signalled = false;

/** Looks after a client until the function it returns is called. */
export function leaveInOrder(leaver: Leaver): () => void {
  if (leavers.size === 0) listen();
  leavers.add(leaver);
  return () => {
    leavers.delete(leaver);
    if (leavers.size === 0) unlisten();
  };
}

function listen(): void {
  gaveUp = false;
  process.on('beforeExit', onBeforeExit);
  process.on('exit', onExit);
  for (const signal of signals) process.on(signal, onSignal);
}

function unlisten(): void {
  process.off('beforeExit', onBeforeExit);
  process.off('exit', onExit);
  for (const signal of signals) process.off(signal, onSignal);
}

function onBeforeExit(): void {
  if (gaveUp || pending() === 0) return;
  gaveUp = true;
  void flushAll().then(() => {
    gaveUp = pending() > 0;
  });
}

function onExit(): void {
  for (const { leave } of leavers) leave();
}

function onSignal(signal: NodeJS.Signals): void {
  const applicationListens = process.listenerCount(signal) > 1;
  if (signalled && !applicationListens) return die(signal);
  signalled = true;
  void flushAll().then(() => {
    signalled = false;
    if (process.listenerCount(signal) <= 1) die(signal);
  });
}

function die(signal: NodeJS.Signals): void {
  onExit();
  process.off(signal, onSignal);
  process.kill(process.pid, signal);
}

/** Keeps the process alive meanwhile, and no longer than the longest deadline. */
async function flushAll(): Promise<void> {
  const deadlineMs = Math.max(0, ...[...leavers].map(({ exitMs }) => exitMs));
  const alive = setTimeout(() => {}, deadlineMs);
  await Promise.all([...leavers].map(({ flush, exitMs }) => flush(exitMs)));
  clearTimeout(alive);
}

function pending(): number {
  return [...leavers].reduce((sum, leaver) => sum + leaver.pending(), 0);
}
