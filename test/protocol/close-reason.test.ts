import { expect, test } from 'vitest';
import { CLOSE } from '../../src/protocol/close-reason.ts';
import { table } from '../docs/documents.ts';

test('docs/protocol.md has each close code, with its reason and whether to reconnect', () => {
  expect(table('docs/protocol.md', 'code')).toEqual(
    Object.values(CLOSE).map(({ code, reason, reconnect }) => [
      String(code),
      reason,
      reconnect ? 'yes' : 'no',
    ]),
  );
});
