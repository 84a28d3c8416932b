import type { EventColumns } from '../../collector/src/store/columns.ts';

/** Columns with a single event. */
export const oneEvent: EventColumns = {
  count: 1,
  ...{ orderTimes: new Int32Array(2), eventTimes: new Int32Array(2), receivedAts: new Int32Array(2) },
  ...{ occurredAts: new Int32Array(2), sentAts: new Int32Array(2), seqs: new Int32Array(2) },
  bytes: new Int32Array(1),
  timeQualities: Buffer.from('6'),
  ...{ ids: Buffer.from('["a"]'), names: Buffer.from('["a"]'), keys: Buffer.from('[null]') },
  ...{ props: Buffer.from('{}'), more: Buffer.alloc(0) },
};
