/**
 * What must hold for every move, whoever makes it.
 *
 * No history is needed for the first: watermarks never decrease (the second), so a row that becomes visible at or above the
 * present watermark is not below any that somebody may have read. The reader of the model checks the same from its own side,
 * by counting.
 */
import { element } from './explore.ts';
import type { Move, Row, Setting } from './rules.ts';
import { watermarkOf, type World } from './world.ts';

export function violationOf(before: World, move: Move, setting: Setting): string | undefined {
  return (
    nothingAppearsBelowTheWatermark(before, move) ??
    nothingDecreases(before, move.after) ??
    theReaderSkipsNothing(move.after) ??
    eventsInTimeKeepTheirOrder(before, move, setting) ??
    theWatermarkGoesOn(before, move)
  );
}

function nothingAppearsBelowTheWatermark(before: World, move: Move): string | undefined {
  for (const { stream, orderTime } of move.visible ?? []) {
    const watermark = watermarkOf(before, stream);
    if (orderTime < watermark)
      return `a row of stream ${stream} appears at ${orderTime}, below its watermark ${watermark}`;
  }
  return undefined;
}

function nothingDecreases(before: World, after: World): string | undefined {
  if (before.fence !== after.fence) {
    if (after.fence.floor < before.fence.floor)
      return `the floor goes from ${before.fence.floor} to ${after.fence.floor}`;
    if (after.fence.published < before.fence.published) return 'what is published decreases';
    if (after.fence.published > after.fence.floor) return 'more is published than the floor';
  }
  if (before.fence === after.fence && before.streams === after.streams) return undefined;
  for (const [number, stream] of before.streams.entries()) {
    const reached = watermarkOf(before, number);
    const now = watermarkOf(after, number);
    if (now < reached) return `the watermark of stream ${number} goes back from ${reached} to ${now}`;
    if (element(after.streams, number).orderFloor < stream.orderFloor)
      return `the order floor of stream ${number} decreases`;
  }
  return undefined;
}

function theReaderSkipsNothing({ reader }: World): string | undefined {
  if (reader === undefined) return undefined;
  const below = reader.rows.filter((row) => row < reader.cursor).length;
  if (below === reader.given) return undefined;
  return `${below} rows are below the reader's cursor ${reader.cursor}, but it was given ${reader.given}`;
}

/** An event that is not late keeps its event time, and nothing else makes an event late than its own lateness. */
function eventsInTimeKeepTheirOrder(before: World, move: Move, setting: Setting): string | undefined {
  for (const row of move.inserted ?? []) {
    const { delay, orderFloor } = element(before.streams, row.stream);
    const inTime = row.eventTime >= Math.max(row.arrival - delay, orderFloor) && row.eventTime <= row.arrival;
    if (inTime && row.orderTime !== row.eventTime)
      return `${describeRow(row)} is in time, but does not keep its event time`;
    const undisturbed = !before.clockWentBack && setting.delayChanges.length === 0;
    if (undisturbed && row.arrival > before.clock)
      return `${describeRow(row)} arrives in the future, the clock says ${before.clock}`;
    if (undisturbed && orderFloor > row.arrival - delay)
      return `${describeRow(row)} is late because of the order floor ${orderFloor}`;
  }
  return undefined;
}

function describeRow(row: Row): string {
  return `an event of ${row.eventTime}, arrived at ${row.arrival}, placed at ${row.orderTime},`;
}

/**
 * Liveness: appends end, by themselves or by their timeouts, and so do ticks that began while there were any, by publishing or
 * by dying. After that any tick that is not cut short takes the watermark of every stream to what it raised. That it can be cut
 * short does not matter as long as some tick comes through.
 */
function theWatermarkGoesOn(before: World, move: Move): string | undefined {
  if (move.published === undefined) return undefined;
  const tick = element(before.advancers, move.published);
  if (tick.began !== 'calm') return undefined;
  for (const [number, stream] of move.after.streams.entries()) {
    const now = watermarkOf(move.after, number);
    if (now < tick.raised - stream.delay) {
      return `the watermark of stream ${number} stands still at ${now}, though ${tick.raised} was raised and nobody is in the way`;
    }
  }
  return undefined;
}
