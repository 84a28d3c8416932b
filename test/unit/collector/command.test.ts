import { describe, expect, test } from 'vitest';
import { readCommand } from '../../../collector/src/command.ts';

const read = (line: string) => readCommand(line === '' ? [] : line.split(' '));

describe('the command line', () => {
  test.each([
    ['', { do: 'start' }],
    ['--help', { do: 'help' }],
    ['keys -h', { do: 'help' }],
    ['worker', { do: 'work' }],
    ['keys list', { do: 'listKeys', json: false }],
    ['keys list --json', { do: 'listKeys', json: true }],
    ['keys revoke abc', { do: 'revokeKey', id: 'abc', json: false }],
    ['keys create --role read', { do: 'createKey', json: false, key: { role: 'read' } }],
    [
      'keys create --json --role write --stream orders --stream web.* --origin https://a.example --events-per-second 5 --default-stream orders',
      {
        do: 'createKey',
        json: true,
        key: {
          role: 'write',
          streams: ['orders', 'web.*'],
          origins: ['https://a.example'],
          quotas: { eventsPerSecond: 5 },
          defaultStream: 'orders',
        },
      },
    ],
  ])('%j', (line, command) => {
    expect(read(line)).toEqual({ ok: true, command });
  });

  test.each([
    ['start', /^There is no command "start"/],
    ['worker 2', /^There is no command "worker"/],
    ['--json', /^Options stand behind a command/],
    ['--port 80', /^Unknown option '--port'/],
    ['keys', /^keys is followed by create, list or revoke/],
    ['keys drop', /^keys is followed by create, list or revoke/],
    ['keys list all', /^"all" is one argument too many/],
    ['keys list --role read', /^--role is for keys create/],
    ['keys revoke', /^keys revoke is followed by the id/],
    ['keys revoke a b', /^"b" is one argument too many/],
    ['keys create', /^--role is missing/],
    ['keys create --role', /--role/],
    ['keys create --role writer', /^--role: /],
    ['keys create --role read --stream a/b', /^--stream: must be a stream name/],
    ['keys create --role admin --stream a', /^--stream: an admin key is for all streams/],
    ['keys create --role write --origin example.com', /^--origin: must be like https:/],
    ['keys create --role write --events-per-second 1.5', /^--events-per-second: /],
    ['keys create --role write --bytes-per-second 0', /^--bytes-per-second: /],
    [
      'keys create --role read --bytes-per-second 9',
      /^--events-per-second and --bytes-per-second: a read key/,
    ],
    [
      'keys create --role write --stream a --default-stream b',
      /^--default-stream: must be one of the streams/,
    ],
  ])('says what is wrong with %j', (line, mistake) => {
    expect(read(line)).toEqual({ ok: false, mistake: expect.stringMatching(mistake) });
  });
});
