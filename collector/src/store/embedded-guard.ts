import { spawn } from 'node:child_process';

/** Ends a postmaster when the collector that started it is gone. */
export interface PostmasterGuard {
  /** The postmaster has ended: its process id means nothing any more. */
  readonly release: () => void;
}

// `read` returns when the other end of its pipe is closed, and the kernel closes it however the collector ends.
// A fast shutdown that takes more than 30 s becomes an immediate one.
const script = `
read -r released && exit 0
kill -INT "$1" || exit 0
seconds=0
while kill -0 "$1"; do
  [ "$seconds" -eq 30 ] && kill -QUIT "$1"
  [ "$seconds" -ge 40 ] && exit 0
  seconds=$((seconds + 1))
  sleep 1
done
`;

/**
 * A postmaster does not notice that its parent died, and would keep the data, the port and the memory. So a shell waits
 * beside it, with nothing to do but to wait for our end. Without a shell (Windows) the next start cleans up instead.
 */
export function guardPostmaster(pid: number): PostmasterGuard {
  if (process.platform === 'win32') return { release: () => {} };
  const guard = spawn('/bin/sh', ['-c', script, 'tidemark-postgres-guard', String(pid)], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Both only say that there is no guard, which the next start makes up for.
  guard.on('error', () => {});
  guard.stdin.on('error', () => {});
  return { release: () => guard.stdin.end('released\n') };
}
