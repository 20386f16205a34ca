import { describe, expect, it } from 'vitest';
import { configJsonSchema } from '../../src/config/schema.ts';
import { shownConfig } from '../../src/config/shown-config.ts';
import { feedKinds } from '../../src/feed/kinds.ts';

const shown = (document: unknown) => shownConfig(document, configJsonSchema(feedKinds));
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
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how the file refers to it.
    const feed = { type: 'http', url: 'https://x/${PLACE}', headers: { cookie: 'abc' } };
    expect(ofFeed(feed)[0].feed).toMatchObject({
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how the file refers to it.
      url: 'https://x/${PLACE}',
      headers: { cookie: '***' },
    });
  });

  it.each([
    ['https://ann:hunter2@x.example/a', 'https://***@x.example/a'],
    ['https://ann:hunt@er2@x.example', 'https://***@x.example'],
    ['HTTPS://x.example/a?key=hunter2#top', 'HTTPS://x.example/a?***#top'],
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

  it('leaves the document as it is', () => {
    const document = { admin: { tokens: [{ name: 'ops', token: 'hunter2' }] } };
    shown(document);
    expect(document).toEqual({ admin: { tokens: [{ name: 'ops', token: 'hunter2' }] } });
  });
});
