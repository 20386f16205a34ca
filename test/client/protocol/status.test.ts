import { expect, it } from 'vitest';
import { REASON_WORDS } from '../../../src/client/protocol/status.ts';
import { REASONS } from '../../../src/feed/feed.ts';

it('has words for every reason that the server gives', () => {
  expect(REASON_WORDS).toEqual(REASONS);
});
