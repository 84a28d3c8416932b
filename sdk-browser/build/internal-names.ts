/**
 * Properties that only this program sees: they are renamed in the published files. None of them may be the name of an option, of a part of a
 * report, of what is on the wire or in a query, or of anything that the browser has.
 */
export const internalNames = `
  another after arm begun busy order save tried full sample learn best bytesOf elapsed exists line measure monotonic pressure restated retryAfter serverMs
  adopt bytes ended first fits floorMs forget held members isClosed json keep list lose news next pump queuedAt refusal release saved sequence
  stamped store tell triedAt trying untell waiting
  atMs clock delivery listen readNote writeNote openStore queuedAtMs resume save saveAll saveNow stop triedAtMs
`
  .trim()
  .split(/\s+/);
