import { describe, expect, it } from 'vitest';
import { CLOSE } from '../../src/hub/close-reason.ts';
import { closeText } from '../../src/transport/websocket.ts';

describe('closeText', () => {
  it.each([
    ['', ''],
    ['closed', 'closed'],
    ['x'.repeat(123), 'x'.repeat(123)],
    ['x'.repeat(124), 'x'.repeat(123)],
    ['é'.repeat(100), 'é'.repeat(61)],
    [`${'x'.repeat(121)}€`, 'x'.repeat(121)],
    [`${'x'.repeat(120)}🔔`, 'x'.repeat(120)],
    [`${'x'.repeat(119)}🔔!`, `${'x'.repeat(119)}🔔`],
  ])('of %j is %j: at most 123 bytes, cut between characters', (reason, text) => {
    expect(closeText({ ...CLOSE.normal, reason })).toBe(text);
  });
});
