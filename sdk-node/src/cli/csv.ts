/** The fields of a CSV record (RFC 4180), or what is wrong with it. */
export function parseCsv(text: string, delimiter: string): readonly string[] | { readonly mistake: string } {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    let field: string;
    if (text[at] === '"') {
      field = '';
      for (;;) {
        const close = text.indexOf('"', at + 1);
        if (close < 0) return { mistake: 'a quote is not closed' };
        field += text.slice(at + 1, close);
        at = close + 1;
        if (text[at] !== '"') break;
        field += '"';
      }
      if (at < text.length && text[at] !== delimiter)
        return { mistake: `field ${fields.length + 1} goes on after its closing quote` };
    } else {
      const end = text.indexOf(delimiter, at);
      field = text.slice(at, end < 0 ? text.length : end);
      at += field.length;
    }
    fields.push(field);
    if (at >= text.length) return fields;
    at += 1;
  }
}
