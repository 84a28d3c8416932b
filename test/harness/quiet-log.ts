import type { EmbeddedLog } from '../../collector/src/store/embedded-log.ts';

/** Prints only what a test run should never see. */
export const quietLog: EmbeddedLog = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: (fields, message) => console.error(message, fields),
};
