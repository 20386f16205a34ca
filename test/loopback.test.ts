import { expect, it } from 'vitest';
import { isLoopback } from '../src/loopback.ts';

it.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1', 'localhost', 'LocalHost'])(
  '%s is this machine alone',
  (host) => {
    expect(isLoopback(host)).toBe(true);
  },
);

it.each(['0.0.0.0', '::', '192.168.0.1', '128.0.0.1', '::ffff:10.0.0.1', 'localhost.example.com', ''])(
  '"%s" is not, or not only',
  (host) => {
    expect(isLoopback(host)).toBe(false);
  },
);
