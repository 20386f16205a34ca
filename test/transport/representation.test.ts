import { describe, expect, it } from 'vitest';
import { representationFor } from '../../src/transport/rooms-route.ts';

describe('representationFor', () => {
  it.each([
    [undefined, 'json'],
    ['', 'json'],
    ['*/*', 'json'],
    ['application/json', 'json'],
    ['Application/JSON; charset=utf-8', 'json'],
    ['application/*', 'json'],
    ['text/event-stream', 'sse'],
    ['text/event-stream, */*', 'sse'],
    ['text/html', 'html'],
    ['text/*', 'html'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8', 'html'],
    ['application/json, text/html', 'json'],
    ['text/html;q=0.5, application/json;q=0.6', 'json'],
    ['text/html;q=0.5, */*', 'json'],
    ['text/html;q=0, */*', 'json'],
    ['application/json;q=0, */*', 'html'],
    ['text/html;q=0, text/*', 'sse'],
    ['image/png, text/event-stream;q=0.1', 'sse'],
  ])('Accept: %s is answered with %s', (accept, representation) => {
    expect(representationFor(accept)).toBe(representation);
  });

  it.each(['image/png', 'application/json;q=0', '*/*;q=0', 'constructor', '__proto__', 'nonsense', ','])(
    'Accept: %s is refused with 406, naming what there is',
    (accept) => {
      expect(() => representationFor(accept)).toThrow(
        expect.objectContaining({
          status: 406,
          message: expect.stringContaining('application/json, text/event-stream, text/html'),
        }),
      );
    },
  );
});
