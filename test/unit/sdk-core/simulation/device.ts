import type { VirtualTime } from './virtual-time.ts';

/** A device's two clocks: the wall clock is off, drifts and steps; the monotonic one drifts alike and does nothing else. */
export interface DeviceClocks {
  readonly wall: () => number;
  readonly monotonic: () => number;
  /** Sets the wall clock forward or back. */
  step(ms: number): void;
  /** Wall clock minus true time. */
  errorMs(): number;
}

export function createDeviceClocks(
  time: VirtualTime,
  { offsetMs = 0, driftPpm = 0 }: { offsetMs?: number; driftPpm?: number } = {},
): DeviceClocks {
  let steppedMs = offsetMs;
  const startedAt = time.now();
  const driftMs = (): number => ((time.now() - startedAt) * driftPpm) / 1e6;

  const clocks: DeviceClocks = {
    wall: () => Math.floor(time.trueMs() + driftMs() + steppedMs),
    monotonic: () => time.now() - startedAt + driftMs() + 1_000,
    step(ms) {
      steppedMs += ms;
    },
    errorMs: () => driftMs() + steppedMs,
  };
  return clocks;
}
