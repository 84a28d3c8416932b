/**
 * Properties that only this program sees: they are renamed in the published files. None of them may be the name of an option, of a part of a
 * report, of what is on the wire or in a query, or of anything that the browser has.
 */
export const internalNames = `
  another after best byteLength elapsed exists line measure monotonic pressure restated retryAfter sentAtMs serverMs sumMs take
  adopt bytes ended failed first fits floorMs held list lose news next pump queuedAt refusal release sequence stamped taken tell triedAt
  trying untell waiting
  adopted atMs delivery keeper listen move namespaces note openStore queuedAtMs resume saveAll saveNow triedAtMs
`
  .trim()
  .split(/\s+/);
