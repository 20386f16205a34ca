import { describe, expect, it } from 'vitest';
import { Refusal } from '../../src/hub/errors.ts';
import { problem, problemResponse } from '../../src/transport/problem.ts';
import { SECURITY_HEADERS } from '../../src/transport/security-headers.ts';

describe('problem', () => {
  it('says what a refusal says, as RFC 9457 has it', () => {
    const errors = [{ path: 'rooms[1]', message: 'no' }];
    const { status, headers, body } = problem(new Refusal(400, 'rooms[1]: no', { errors }));
    expect(status).toBe(400);
    expect(headers).toEqual({
      ...SECURITY_HEADERS,
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
    });
    expect(JSON.parse(body)).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      detail: 'rooms[1]: no',
      errors,
    });
  });

  it('leaves errors out where there are none', () => {
    expect(JSON.parse(problem(new Refusal(404, 'gone')).body)).not.toHaveProperty('errors');
  });

  it.each([
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [29_500, '30'],
  ])('rounds %d ms up to whole seconds of Retry-After', (retryAfterMs, seconds) => {
    expect(problem(new Refusal(503, 'later', { retryAfterMs })).headers['Retry-After']).toBe(seconds);
  });

  it('carries the headers of the refusal', () => {
    const refusal = new Refusal(405, 'no', { headers: { Allow: 'GET, HEAD' } });
    expect(problem(refusal).headers).toMatchObject({ Allow: 'GET, HEAD' });
  });

  it('reveals nothing of what was not meant to be seen', () => {
    for (const thrown of [
      new Error('password is hunter2'),
      'hunter2',
      undefined,
      { status: 200, message: 'hunter2' },
    ]) {
      const { status, body } = problem(thrown);
      expect(status).toBe(500);
      expect(body).not.toContain('hunter2');
    }
  });
});

describe('problemResponse', () => {
  it('is the same as a Response', async () => {
    const response = problemResponse(new Refusal(423, 'locked', { retryAfterMs: 2000 }));
    expect(response.status).toBe(423);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await response.json()).toMatchObject({ title: 'Locked', detail: 'locked' });
  });
});
