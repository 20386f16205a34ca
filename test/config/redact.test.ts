// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is how the file refers to a variable.
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Secrets } from '../../src/config/redact.ts';
import { configJsonSchema } from '../../src/config/schema.ts';
import { feedKind } from '../../src/feed/feed.ts';
import { feedKinds } from '../../src/feed/kinds.ts';

const shown = (document: unknown, kinds = feedKinds) =>
  new Secrets(kinds).shownConfig(document, configJsonSchema(kinds));
const ofFeed = (feed: object) =>
  shown({ schedules: [{ name: 'a', every: '3s', feed }] }).schedules as [{ feed: Record<string, unknown> }];

describe('the configuration that is shown', () => {
  it('has the defaults of what the document leaves out, at every depth', () => {
    expect(shown({ server: { port: 9000 }, rooms: [{ match: 'ops-*', publish: 'members' }] })).toMatchObject({
      server: { host: '127.0.0.1', port: 9000, heartbeatSeconds: 25 },
      rooms: [{ match: 'ops-*', publish: 'members', subscribe: 'anyone', history: 10 }],
      schedules: [],
      limits: { maxPayloadBytes: 16_384 },
      admin: { tokens: [] },
    });
  });

  it('has those of the kind of feed that is named', () => {
    expect(ofFeed({ type: 'time' })[0].feed).toEqual({ type: 'time', timezone: 'UTC' });
    expect(ofFeed({ type: 'http', url: 'https://x/' })[0].feed).toMatchObject({ method: 'GET' });
  });

  it('is in the words of the file', () => {
    expect(shown({ schedules: [{ name: 'a', every: '1.5s', feed: { type: 'time' } }] })).toMatchObject({
      schedules: [{ every: '1.5s', timeout: '10s' }],
    });
    expect(shown({ $schema: './belfry.schema.json' })).not.toHaveProperty('$schema');
  });

  it('has no tokens, nor their hashes, and says whose they are and where they come from', () => {
    const tokens = [
      { name: 'ops', role: 'operator', token: 'hunter2' },
      { name: 'wall', sha256: 'ab'.repeat(32) },
      { name: 'ci', tokenEnv: 'CI_TOKEN' },
    ];
    expect(shown({ admin: { tokens } }).admin).toEqual({
      tokens: [
        { name: 'ops', role: 'operator', token: '***' },
        { name: 'wall', role: 'viewer', sha256: '***' },
        { name: 'ci', role: 'viewer', tokenEnv: 'CI_TOKEN' },
      ],
    });
  });

  it('has no value of a header, and what refers to the environment as written', () => {
    const feed = { type: 'http', url: 'https://x/${PLACE}', headers: { cookie: 'abc' } };
    expect(ofFeed(feed)[0].feed).toMatchObject({
      url: 'https://x/${PLACE}',
      headers: { cookie: '***' },
    });
  });

  it.each([
    ['https://ann:hunter2@x.example/a', 'https://***@x.example/a'],
    ['https://ann:hunt@er2@x.example', 'https://***@x.example/'],
    ['https://ann@x.example/a', 'https://***@x.example/a'],
    ['https://:hunter2@x.example:8443/a', 'https://***@x.example:8443/a'],
    ['https:ann:hunter2@x.example', 'https://***@x.example/'],
    ['HTTPS://x.example/a?key=hunter2#top', 'https://x.example/a?***#***'],
    ['HTTPS://x.example/a', 'HTTPS://x.example/a'],
    ['https://ann:hunt er2@x.example/a?key=1', '***'],
    ['https://x.example/a b?key=hunter2', '***'],
    ['https://ann:hunt/er2@x.example', '***'],
    ['https:\\\\ann:hunter2@x.example', '***'],
    ['no address', '***'],
    ['https://${USER}:${PASS}@${HOST}/${PATH}?key=${KEY}', 'https://***@${HOST}/${PATH}?***'],
    ['${BASE}/a?key=hunter2', '***'],
    ['https://x0reference/', '***'],
    ['https://x.example/a@b', 'https://x.example/a@b'],
    ['https://x.example/a', 'https://x.example/a'],
  ])('shows the address %s as %s', (url, shownUrl) => {
    expect(ofFeed({ type: 'http', url })[0].feed.url).toBe(shownUrl);
  });

  it('has of a command the program alone, and how many arguments it gets', () => {
    const argv = ['/usr/bin/curl', '--user', 'ann:hunter2', ''];
    expect(ofFeed({ type: 'command', argv })[0].feed).toEqual({
      type: 'command',
      argv: ['/usr/bin/curl', '***', '***', '***'],
      maxBytes: 65_536,
    });
    expect(ofFeed({ type: 'command', argv: ['date'] })[0].feed.argv).toEqual(['date']);
  });

  it('has nothing of a command that was written on one line', () => {
    const argv = ['mysql -phunter2', '-e', 'select 1'];
    expect(ofFeed({ type: 'command', argv })[0].feed.argv).toEqual(['***', '***', '***']);
  });

  it('has no string of a feed whose kind does not say what is secret', () => {
    const kind = feedKind({
      type: 'broker',
      description: 'Foreign.',
      options: z.object({
        login: z.object({ key: z.string() }),
        topics: z.array(z.string()),
        port: z.number(),
        url: z.string(),
        secret: z.string().default('hunter2'),
      }),
      create: () => ({ compute: () => 'null' }),
    });
    const document = {
      type: 'broker',
      login: { key: 'hunter2' },
      topics: ['a', 'b'],
      port: 1,
      url: 'mqtt://ann:hunter2@x',
    };
    const { schedules } = shown({ schedules: [{ name: 'a', every: '3s', feed: document }] }, [
      ...feedKinds,
      kind,
    ]);
    expect(schedules).toMatchObject([
      {
        name: 'a',
        feed: {
          type: 'broker',
          login: { key: '***' },
          topics: ['***', '***'],
          port: 1,
          url: '***',
          secret: '***',
        },
      },
    ]);
  });

  describe('of a feed of an added kind', () => {
    const create = () => ({ compute: () => 'null' });
    const options = z.object({
      url: z.string(),
      login: z.union([z.string(), z.record(z.string(), z.unknown()), z.array(z.string())]),
      run: z.union([z.string(), z.array(z.string())]).default(['sh', 'hunter2']),
      pin: z.number(),
      topic: z.string(),
    });
    const secrets = { url: 'address', login: 'values', run: 'arguments', pin: 'all' } as const;
    const kind = feedKind({ type: 'broker', description: 'Foreign.', options, secrets, create });
    const feedShown = (login: unknown, run?: unknown) => {
      const feed = { type: 'broker', url: 'mqtt://ann:b@x', login, pin: 1234, topic: 'lunch', run };
      return shown({ schedules: [{ name: 'a', every: '3s', feed }] }, [kind]).schedules;
    };

    it('lacks the parts that the kind says are secret, and nothing else', () => {
      const feed = { type: 'broker', url: 'mqtt://***@x', pin: '***', topic: 'lunch', run: ['sh', '***'] };
      expect(feedShown({ user: 'ann', keys: ['b'] })).toMatchObject([
        { feed: { ...feed, login: { user: '***', keys: '***' } } },
      ]);
    });

    it('lacks all of a value that has another form than the secret has', () => {
      expect(feedShown('hunter2', 'sh hunter2')).toMatchObject([{ feed: { login: '***', run: '***' } }]);
      expect(feedShown(['hunter2'])).toMatchObject([{ feed: { login: ['***'] } }]);
    });

    it('lacks all of an option whose secret part is an unknown word', () => {
      const unknown = { ...kind, secrets: { ...secrets, url: 'password' as 'address' } };
      const feed = { type: 'broker', url: 'mqtt://x', login: {}, pin: 1, topic: 'lunch' };
      expect(shown({ schedules: [{ name: 'a', every: '3s', feed }] }, [unknown]).schedules).toMatchObject([
        { feed: { url: '***' } },
      ]);
    });

    it('cannot be shown where the kind names a secret that it has no option for', () => {
      const misspelt = { ...kind, secrets: { logn: 'all' as const } };
      expect(() => shown({}, [misspelt])).toThrow('feed "broker": secrets names "logn", no option of it');
    });
  });

  it('has what a message says as it is, since its listeners read it too', () => {
    const data = { text: 'see https://ann:b@x/?y', url: 'https://x/?y', headers: { a: 'b' }, token: 'c' };
    expect(ofFeed({ type: 'message', data })[0].feed.data).toEqual(data);
  });

  it('takes time that is linear in the length of a string', () => {
    const hostile = [
      'a'.repeat(1_000_000),
      'http://'.repeat(150_000),
      'a:'.repeat(500_000),
      '${'.repeat(500_000),
    ];
    for (const text of hostile) {
      for (const feed of [
        { type: 'message', data: text },
        { type: 'http', url: text },
      ]) {
        expect(() => ofFeed(feed)).not.toThrow();
      }
    }
  }, 5000);

  it('leaves the document as it is', () => {
    const document = { admin: { tokens: [{ name: 'ops', token: 'hunter2' }] } };
    shown(document);
    expect(document).toEqual({ admin: { tokens: [{ name: 'ops', token: 'hunter2' }] } });
  });
});
