import { expect, it } from 'vitest';
import { faultsOf, parse } from './config/fixture.ts';

/** What stands in the file, and each fault as `path: message`. */
const BROKEN: readonly [string, unknown, ...string[]][] = [
  [
    'an event that no connection could hold',
    { limits: { eventBytes: 2_000_000 } },
    'limits.eventBytes: 2000000 is more than maxBufferedBytes, so that one event could close every client that it is sent to: write at most 1048576, or a larger maxBufferedBytes',
  ],
  [
    'a buffer that is full before ticks are conflated',
    { limits: { conflateAboveBytes: 8000, maxBufferedBytes: 7999, eventBytes: 100 } },
    'limits.conflateAboveBytes: 8000 is more than maxBufferedBytes, so that clients would be closed before they get fewer ticks: write at most 7999, or a larger maxBufferedBytes',
  ],
  [
    'limits that do not go together, one of them wrong in itself',
    { limits: { conflateAboveBytes: 8000, maxBufferedBytes: 7999, eventBytes: -1 } },
    'limits.eventBytes: -1 is too small: write at least 0',
    'limits.conflateAboveBytes: 8000 is more than maxBufferedBytes, so that clients would be closed before they get fewer ticks: write at most 7999, or a larger maxBufferedBytes',
  ],
  [
    'a slice that is too long',
    { limits: { fanoutSliceMs: 1001 } },
    'limits.fanoutSliceMs: 1001 is too large: write at most 1000',
  ],
  [
    'limits out of bounds',
    { limits: { eventBytes: -1, maxBodyBytes: '1', maxPayloadBytes: 1.5 } },
    'limits.maxPayloadBytes: 1.5 is not a whole number',
    'limits.maxBodyBytes: "1" is not a number: write 1',
    'limits.eventBytes: -1 is too small: write at least 0',
  ],
];

it.each(BROKEN)('a configuration is refused for %s', (_what, document, ...expected) => {
  const faults = faultsOf(() => parse(document));
  expect(faults.map(({ path, message }) => `${path}: ${message}`)).toEqual(expected);
});

it.each(['eventBytes', 'conflateAboveBytes', 'maxBufferedBytes', 'fanoutSliceMs'] as const)(
  'takes 0 for limits.%s as none, beside any other',
  (key) => {
    expect(parse({ limits: { [key]: 0 } }).limits[key]).toBe(Number.POSITIVE_INFINITY);
  },
);
