import { formatTime, parseTime } from '@tidemark/core/wire';

/** A request as web servers log it, in the common log format or, with referer and agent, in the combined one. */
export interface LoggedRequest {
  /** RFC 3339. */
  readonly time: string;
  readonly props: { readonly [name: string]: string | number };
}

// https://httpd.apache.org/docs/current/logs.html#accesslog: host, identity, user, time, request, status, bytes; referer, agent.
const quoted = String.raw`"((?:[^"\\]|\\.)*)"`;
const pattern = new RegExp(
  String.raw`^(\S+) (\S+) (.+?) \[(\d\d)/(\w{3})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)\] ${quoted} (\d{3}) (\d+|-)(?: ${quoted} ${quoted})?\s*$`,
);
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Undefined: the line is not one. Fields that are `-` are left out. */
export function parseLogLine(line: string, combined: boolean): LoggedRequest | undefined {
  const match = pattern.exec(line);
  if (match === null) return undefined;
  const [
    ,
    host = '',
    identity,
    user,
    day,
    month = '',
    year,
    clock,
    zone,
    minutes,
    request = '',
    status,
    bytes,
    referer,
    agent,
  ] = match;
  if (combined && agent === undefined) return undefined;
  const monthNumber = String(months.indexOf(month) + 1).padStart(2, '0');
  const micros = parseTime(`${year}-${monthNumber}-${day}T${clock}${zone}:${minutes}`);
  if (micros === undefined) return undefined;
  const [, method, path, protocol] = /^(\S+) (.*?)(?: (HTTP\/[\d.]+))?$/.exec(unescape(request)) ?? [];
  const found: Record<string, string | number | undefined> = {
    host,
    identity,
    user,
    method,
    path: path ?? unescape(request),
    protocol,
    status: Number(status),
    bytes: bytes === '-' ? undefined : Number(bytes),
    referer: referer && unescape(referer),
    agent: agent && unescape(agent),
  };
  const props = Object.entries(found).filter(
    ([, value]) => value !== undefined && value !== '-' && value !== '',
  );
  return { time: formatTime(micros), props: Object.fromEntries(props) as LoggedRequest['props'] };
}

/** Servers put a backslash before quotes and backslashes; other escapes stay as they are. */
function unescape(text: string): string {
  return text.replace(/\\(["\\])/g, '$1');
}
