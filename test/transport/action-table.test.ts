import { describe, expect, it } from 'vitest';
import type { Connection } from '../../src/hub/connection.ts';
import { Refusal } from '../../src/hub/errors.ts';
import { ActionTable, type ClientCall } from '../../src/transport/action-table.ts';
import type { Received } from '../helpers/guest.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

function setUp() {
  const replies: Received[] = [];
  const fake = { send: (text: string) => replies.push(JSON.parse(text)) };
  const connection = fake as unknown as Connection; // of which an action table touches this much
  const actions = { echo: { perform: ({ sent }: ClientCall) => sent.data }, ping: { perform() {} } };
  const table = new ActionTable(actions, {
    clock: new ManualClock(),
    onRefused: () => {},
    onFault: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
  const perform = async (line: string) => {
    await table.perform(connection, line, 0);
    return replies.pop();
  };
  const refuse = (line: string) => {
    table.refuse(connection, line, new Refusal(429, 'too many'));
    return replies.pop();
  };
  return { perform, refuse };
}

const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

describe('the depth of a line', () => {
  it.each([
    ['brackets one in another', nested(99), true],
    ['brackets too deep', nested(100), false],
    ['braces and brackets too deep', `${'{"a":['.repeat(50)}1${']}'.repeat(50)}`, false],
    ['brackets side by side', `[${'[],'.repeat(500)}[]]`, true],
    ['brackets in a string', JSON.stringify('['.repeat(500)), true],
    ['brackets in a string behind an escaped quote', JSON.stringify(`"${'['.repeat(500)}`), true],
    ['brackets in a string behind escaped backslashes', JSON.stringify(`\\\\"${'{'.repeat(500)}`), true],
    ['brackets behind a string that ends with a backslash', `["\\\\",${nested(100)}]`, false],
  ])('%s', async (_what, data, isTaken) => {
    const reply = await setUp().perform(`{"action":"echo","data":${data}}`);
    if (isTaken) expect(reply).toMatchObject({ data: JSON.parse(data) });
    else
      expect(reply?.error).toMatchObject({
        status: 400,
        detail: expect.stringContaining('nested deeper than 100 levels'),
      });
  });

  it.each([
    ['escaped quotes without an end', `"${'\\"'.repeat(250_000)}`],
    ['quotes', '"'.repeat(500_001)],
    ['backslashes', '\\'.repeat(500_001)],
    ['open strings with brackets', '"[\\'.repeat(160_000)],
    ['brackets that open and close', '[]'.repeat(250_000)],
  ])('is found in one pass, also of %s', async (_what, line) => {
    const { perform } = setUp();
    const before = performance.now();
    expect((await perform(line))?.error).toMatchObject({ status: 400 });
    // 30 times the largest frame; looking again from each quote takes minutes.
    expect(performance.now() - before).toBeLessThan(250);
  });
});

describe('a line that came too soon', () => {
  it('is answered with its action and reference', () => {
    expect(setUp().refuse('{"action":"echo","ref":7}')).toMatchObject({
      reply: 'echo',
      ref: 7,
      error: { status: 429 },
    });
  });

  it('is answered without them where it is long, since it is not read', () => {
    const reply = setUp().refuse(`{"action":"echo","ref":7,"data":"${'x'.repeat(1024)}"}`);
    expect(reply).toMatchObject({ reply: null, error: { status: 429 } });
    expect(reply).not.toHaveProperty('ref');
  });

  it.each(['', 'hello', '[', '42', 'null', nested(200)])('is answered also where it is %j', (line) => {
    expect(setUp().refuse(line)).toMatchObject({ reply: null, error: { status: 429 } });
  });
});
