// biome-ignore-all lint/suspicious/noTemplateCurlyInString: what feeds write for a variable.
import { describe, expect, it } from 'vitest';
import { faultsOf, parse, schedule } from './fixture.ts';

const scheduled = (more: object) => ({ schedules: [schedule(more)] });
const tokens = (...list: unknown[]) => ({ admin: { tokens: list } });

/** What stands in the file, and each fault as `path: message`. */
const BROKEN: readonly [string, unknown, ...string[]][] = [
  ['a list for the file', [], ': [] is not an object { … }'],
  ['a number for the file', 5, ': a number is not an object { … }'],
  ['null for the file', null, ': null is not an object { … }'],
  ['a misspelt key', { shedules: [] }, ': unknown key "shedules": did you mean "schedules"?'],
  ['a key like no other', { qqq: 1 }, ': unknown key "qqq"'],
  ['the key __proto__', JSON.parse('{"__proto__":{}}'), ': unknown key "__proto__"'],
  [
    'two misspelt keys in one object',
    { server: { hots: 1, prot: 2 } },
    'server: unknown key "hots": did you mean "host"?',
    'server: unknown key "prot": did you mean "port"?',
  ],
  ['a port in quotes', { server: { port: '8080' } }, 'server.port: "8080" is not a number: write 8080'],
  ['a port too large', { server: { port: 70000 } }, 'server.port: 70000 is too large: write at most 65535'],
  ['half a port', { server: { port: 1.5 } }, 'server.port: 1.5 is not a whole number'],
  [
    'an address for a host',
    { server: { host: 'http://0.0.0.0' } },
    'server.host: "http://0.0.0.0" is not a host: write an address or a name, such as "127.0.0.1"',
  ],
  [
    'an empty host',
    { server: { host: '' } },
    'server.host: "" is not a host: write an address or a name, such as "127.0.0.1"',
  ],
  [
    'a host that others reach, without a token',
    { server: { host: '0.0.0.0' } },
    'admin.tokens: a token is needed when server.host is "0.0.0.0", which others can reach: add one here or set BELFRY_ADMIN_TOKEN',
  ],
  [
    'a public URL without a scheme',
    { server: { publicUrl: 'wall.example.com' } },
    'server.publicUrl: "wall.example.com" is not a public URL: write one such as "https://wall.example.com"',
  ],
  [
    'a public URL with a path',
    { server: { publicUrl: 'https://X.com:443/a?b' } },
    'server.publicUrl: "https://x.com/a?***" is not a public URL: write "https://x.com", without path, query or user',
  ],
  [
    'an origin that is not in a list',
    { server: { allowedOrigins: 'https://x' } },
    'server.allowedOrigins: "https://x" is not a list [ … ]: write ["https://x"]',
  ],
  [
    'origins that no browser sends',
    {
      server: {
        allowedOrigins: ['https://x/', 'x.com', 'https://*.x.com', 'file:///a', 'ws://x:80', 'https://a b'],
      },
    },
    'server.allowedOrigins[0]: "https://x/" is not an origin: write "https://x"',
    'server.allowedOrigins[1]: "x.com" is not an origin: write "https://x.com"',
    'server.allowedOrigins[2]: "https://*.x.com" is not an origin: write each origin in full, or "*" alone for all',
    'server.allowedOrigins[3]: "file:///a" is not an origin: write "file://"',
    'server.allowedOrigins[4]: "ws://x:80" is not an origin: write "http://x"',
    'server.allowedOrigins[5]: "https://a b" is not an origin: write "https://wall.example.com"',
  ],
  [
    'seconds out of bounds',
    { server: { heartbeatSeconds: 0, idleSeconds: -1, drainSeconds: '5', emptyRoomSeconds: 1e9 } },
    'server.heartbeatSeconds: 0 is too small: write at least 0.1',
    'server.idleSeconds: -1 is too small: write at least 0.1',
    'server.emptyRoomSeconds: 1000000000 is too large: write at most 86400',
    'server.drainSeconds: "5" is not a number: write 5',
  ],
  [
    'an idle time that no ping can come before',
    { server: { idleSeconds: 25 } },
    'server.idleSeconds: 25 is not more than heartbeatSeconds, so that clients would be closed before they are pinged: write more than 25, or a smaller heartbeatSeconds',
  ],
  [
    'a heartbeat that comes too late for the idle time',
    { server: { heartbeatSeconds: 90 } },
    'server.idleSeconds: 60 is not more than heartbeatSeconds, so that clients would be closed before they are pinged: write more than 90, or a smaller heartbeatSeconds',
  ],
  [
    'a token out of place, which is not repeated',
    tokens('s3cret'),
    'admin.tokens[0]: a string is not an object { … }',
  ],
  [
    'a token entry without a token',
    tokens({ name: 'a' }),
    'admin.tokens[0]: has no token: write exactly one of "token", "tokenEnv" and "sha256"',
  ],
  [
    'a token given twice',
    tokens({ name: 'a', token: 'x', sha256: 'y' }),
    'admin.tokens[0].sha256: is not a SHA-256: write its 64 hexadecimal digits',
    'admin.tokens[0]: has "token" and "sha256": write exactly one of "token", "tokenEnv" and "sha256"',
  ],
  [
    'a token variable that is not set',
    tokens({ name: 'a', tokenEnv: 'OPS_TOKE' }),
    'admin.tokens[0].tokenEnv: the environment variable OPS_TOKE (did you mean "OPS_TOKEN"?) is not set',
  ],
  [
    'a token variable that is empty',
    tokens({ name: 'a', tokenEnv: 'EMPTY' }),
    'admin.tokens[0].tokenEnv: the environment variable EMPTY is not set',
  ],
  [
    'a token that cannot be sent',
    tokens({ name: 'a', token: 'a b' }),
    'admin.tokens[0].token: holds a blank or a control character, which cannot be sent: leave it out',
  ],
  [
    'a misspelt role and a name used twice',
    tokens({ name: 'a', token: 'x' }, { name: 'a', token: 'y', role: 'oprator' }),
    'admin.tokens[1].role: "oprator" is not one of "viewer", "operator", "publisher": did you mean "operator"?',
    'admin.tokens[1].name: "a" is the name of entry 0 already: write another',
  ],
  [
    'a publisher without rooms, with none, and with what is no room',
    tokens(
      { name: 'a', token: 'x', role: 'publisher' },
      { name: 'b', token: 'x', role: 'publisher', rooms: [] },
      { name: 'c', token: 'x', role: 'publisher', rooms: 'lobby' },
      { name: 'd', token: 'x', role: 'publisher', rooms: ['lobby', 'a b'] },
    ),
    'admin.tokens[0].rooms: is missing: write the rooms that the publisher may send to, such as ["lobby","ops-*"]',
    'admin.tokens[1].rooms: is empty: name at least one room or pattern, such as ["ops-*"]',
    'admin.tokens[2].rooms: "lobby" is not a list [ … ]: write ["lobby"]',
    'admin.tokens[3].rooms[1]: "a b" is not a room pattern: write a room name in which * stands for any run of characters',
  ],
  [
    'rooms of another role',
    tokens(
      { name: 'a', token: 'x', rooms: ['lobby'] },
      { name: 'b', token: 'x', role: 'operator', rooms: ['*'] },
    ),
    'admin.tokens[0].rooms: is for the role "publisher" only, and the role here is "viewer": leave it out, or write that role',
    'admin.tokens[1].rooms: is for the role "publisher" only, and the role here is "operator": leave it out, or write that role',
  ],
  [
    'a room rule with nothing right',
    { rooms: [{ match: 'a b', publish: 'member', history: -1, subscribe: true }] },
    'rooms[0].match: "a b" is not a room pattern: write a room name in which * stands for any run of characters',
    'rooms[0].subscribe: true is not one of "anyone", "token", "nobody"',
    'rooms[0].publish: "member" is not one of "members", "token", "nobody": did you mean "members"?',
    'rooms[0].history: -1 is too small: write at least 0',
  ],
  ['a rule for no room', { rooms: [{}] }, 'rooms[0].match: is missing: write a string such as "lobby"'],
  ['a number for a duration', scheduled({ every: 3 }), 'schedules[0].every: 3 is not a duration: write "3s"'],
  [
    'a duration without a unit',
    scheduled({ every: '3' }),
    'schedules[0].every: "3" is not a duration: write "3s"',
  ],
  [
    'a duration in words',
    scheduled({ every: '3 sec' }),
    'schedules[0].every: "3 sec" is not a duration: write a number and one of ms s m h d, such as "3s"',
  ],
  [
    'an interval too short',
    scheduled({ every: '99ms' }),
    'schedules[0].every: "99ms" is too short: write a duration from "100ms" to "36500d", in whole milliseconds',
  ],
  [
    'an interval of half a millisecond more',
    scheduled({ every: '100.5ms' }),
    'schedules[0].every: "100.5ms" is not whole: write a duration from "100ms" to "36500d", in whole milliseconds',
  ],
  [
    'a timeout too long',
    scheduled({ timeout: '2d' }),
    'schedules[0].timeout: "2d" is too long: write a duration from "1ms" to "1d", in whole milliseconds',
  ],
  [
    'a schedule of nothing',
    { schedules: [{}] },
    'schedules[0].name: is missing: write a string such as "clock"',
    'schedules[0].feed: is missing: write an object { … } such as {"type":"time"}',
    'schedules[0]: has no cadence: write "every": "3s", or "cron": "*/5 * * * *"',
  ],
  [
    'two cadences',
    scheduled({ cron: '* * * * *' }),
    'schedules[0]: has "every" and "cron": write only one of them',
  ],
  [
    'a wrong pattern in a wrong zone',
    scheduled({ every: undefined, cron: '* * *', timezone: 'Europe/Berlni' }),
    'schedules[0].timezone: "Europe/Berlni" is not a time zone: did you mean "Europe/Berlin"?',
    'schedules[0].cron: "* * *" is not a calendar pattern: write 5 fields (minute hour day month weekday) or 6 (second first)',
  ],
  [
    'a minute that no hour has',
    scheduled({ every: undefined, cron: '61 * * * *' }),
    'schedules[0].cron: "61 * * * *" is not a calendar pattern: there is no minute 61: write 0 to 59',
  ],
  [
    'a number for a pattern',
    scheduled({ every: undefined, cron: 5 }),
    'schedules[0].cron: 5 is not a string: write one such as "*/5 * * * *"',
  ],
  [
    'a name used twice, beside another fault',
    { schedules: [schedule({ paused: 'true' }), schedule({})] },
    'schedules[0].paused: "true" is not true or false: write true',
    'schedules[1].name: "a" is the name of entry 0 already: write another',
  ],
  [
    'a name that is no name',
    scheduled({ name: 'a/b' }),
    'schedules[0].name: "a/b" is not a schedule name: write 1 to 128 of A-Z a-z 0-9 . _ : -, starting with a letter or digit',
  ],
  [
    "the server's event",
    scheduled({ event: 'hello' }),
    'schedules[0].event: "hello" is an event that only the server sends: write another name',
  ],
  [
    'an event for displays',
    scheduled({ event: 'display.show' }),
    'schedules[0].event: "display.show" is for administrators: write a name without "display."',
  ],
  [
    'an event that is no name',
    scheduled({ event: '5' }),
    'schedules[0].event: "5" is not an event name: write a letter and up to 63 of A-Z a-z 0-9 . _ -',
  ],
  [
    'no room at all',
    scheduled({ rooms: [] }),
    'schedules[0].rooms: [] is too short: write at least 1 of them',
  ],
  [
    'a misspelt type of feed',
    scheduled({ feed: { type: 'plian' } }),
    'schedules[0].feed.type: "plian" is not one of "plain", "address": did you mean "plain"?',
  ],
  [
    'a feed without a type',
    scheduled({ feed: {} }),
    'schedules[0].feed.type: is missing: write one of "plain", "address"',
  ],
  [
    'a word for when',
    scheduled({ when: 'change' }),
    'schedules[0].when: "change" is not one of "always", "changed": did you mean "changed"?',
  ],
  [
    'a word for missed',
    scheduled({ missed: 'all' }),
    'schedules[0].missed: "all" is not one of "latest", "skip"',
  ],
  [
    'a number for staleAfter',
    scheduled({ staleAfter: 30 }),
    'schedules[0].staleAfter: 30 is not a duration: write "30s"',
  ],
  [
    'a staleAfter that is over at once',
    scheduled({ staleAfter: '0s' }),
    'schedules[0].staleAfter: "0s" is too short: write a duration from "100ms" to "36500d", in whole milliseconds',
  ],
  [
    'a staleAfter that is over before the next value comes',
    scheduled({ every: '5s', staleAfter: '5s' }),
    'schedules[0].staleAfter: "5s" is not more than every, "5s", so that each value would be stale before the next comes: write a longer one',
  ],
  [
    'an interval that is no duration, beside a staleAfter that cannot be compared with it',
    scheduled({ every: '5', staleAfter: '1s' }),
    'schedules[0].every: "5" is not a duration: write "5s"',
  ],
  [
    'a word for a feed',
    scheduled({ feed: 'time' }),
    'schedules[0].feed: a string is not an object { … }: write one such as {"type":"time"}',
  ],
  [
    'a variable that is not set, beside a misspelt option',
    scheduled({ feed: { type: 'address', url: '${NOWHERE}', hedaers: {} } }),
    'schedules[0].feed.url: the environment variable NOWHERE is not set (a plain "${" is written "$${")',
    'schedules[0].feed: unknown key "hedaers": did you mean "headers"?',
  ],
  [
    'entries that are no objects',
    { schedules: [5, null] },
    'schedules[0]: a number is not an object { … }: write one such as {"name":"clock","every":"3s","feed":{"type":"time"}}',
    'schedules[1]: null is not an object { … }: write one such as {"name":"clock","every":"3s","feed":{"type":"time"}}',
  ],
];

describe('parseConfig', () => {
  it.each(BROKEN)('refuses %s', (_what, document, ...expected) => {
    const faults = faultsOf(() => parse(document, { OPS_TOKEN: 'x', EMPTY: '' }));
    expect(faults.map(({ path, message }) => `${path}: ${message}`)).toEqual(expected);
  });

  it('completes an empty file with the defaults', () => {
    expect(parse({})).toEqual({
      server: {
        host: '127.0.0.1',
        port: 8080,
        allowedOrigins: [],
        trustProxy: [],
        openMetrics: false,
        heartbeatSeconds: 25,
        idleSeconds: 60,
        emptyRoomSeconds: 10,
        drainSeconds: 5,
      },
      admin: { tokens: [] },
      rooms: [],
      schedules: [],
      limits: {
        connections: 20_000,
        connectionsPerAddress: 1000,
        connectsPerSecond: 1000,
        connectsPerSecondPerAddress: 100,
        sockets: 25_000,
        headersSeconds: 10,
        messagesPerSecond: 20,
        messageBurst: 100,
        roomMessagesPerSecond: 100,
        rooms: 10_000,
        roomsPerConnection: 100,
        roomsPerAddress: 1000,
        maxPayloadBytes: 16_384,
        maxBodyBytes: 1_048_576,
        eventBytes: 65_536,
        historyBytes: 262_144,
        waitingBroadcasts: 1000,
        waitingBytes: 8_388_608,
        idempotencyKeys: 10_000,
        idempotencyBytes: 8_388_608,
        totalHistoryBytes: 67_108_864,
        retained: 1000,
        retainedBytes: 524_288,
        conflateAboveBytes: 65_536,
        maxBufferedBytes: 1_048_576,
        totalBufferedBytes: 268_435_456,
        slowSeconds: 5,
        fanoutSliceMs: 10,
      },
    });
  });

  it('completes rooms and schedules', () => {
    const config = parse({ rooms: [{ match: 'a-*' }], ...scheduled({ every: '1.5s' }) });
    expect(config.rooms).toEqual([
      {
        match: 'a-*',
        subscribe: 'anyone',
        publish: 'nobody',
        history: 10,
        historySeconds: 3600,
        joinHistory: 10,
        slow: 'latest',
        page: { theme: 'auto' },
      },
    ]);
    const few = parse({ rooms: [{ match: 'few', history: 3 }] });
    expect(few.rooms[0]?.joinHistory).toBe(3);
    expect(config.schedules).toEqual([
      {
        name: 'a',
        cadence: { every: '1.5s', everyMs: 1500 },
        rooms: ['*'],
        event: 'plain',
        paused: false,
        when: 'always',
        missed: 'latest',
        timeoutMs: 10_000,
        staleAfterMs: null,
        feed: { type: 'plain', options: {} },
      },
    ]);
  });

  it('keeps the zone of a calendar', () => {
    const { schedules } = parse(
      scheduled({ every: undefined, cron: '0 9 * * 1', timezone: 'Asia/Tokyo', event: 'start' }),
    );
    expect(schedules[0]).toMatchObject({
      cadence: { cron: '0 9 * * 1', timezone: 'Asia/Tokyo' },
      event: 'start',
    });
  });

  it('keeps what a schedule does with values that are old, the same, or were missed', () => {
    const { schedules } = parse(scheduled({ when: 'changed', missed: 'skip', staleAfter: '5m' }));
    expect(schedules[0]).toMatchObject({ when: 'changed', missed: 'skip', staleAfterMs: 300_000 });
  });

  it('lets values of a calendar be stale when it likes', () => {
    const entry = scheduled({ every: undefined, cron: '0 9 * * 1', staleAfter: '1s' });
    expect(parse(entry).schedules[0]).toMatchObject({ staleAfterMs: 1000 });
  });

  it('writes origins as browsers do', () => {
    const allowedOrigins = [
      'HTTPS://Wall.Example.com:443',
      'http://x:8080',
      'null',
      'file://',
      '*',
      'capacitor://localhost',
    ];
    const { server } = parse({ server: { allowedOrigins, publicUrl: 'https://Wall.example.com/' } });
    expect(server.publicUrl).toBe('https://wall.example.com');
    expect(server.allowedOrigins).toEqual([
      'https://wall.example.com',
      'http://x:8080',
      'null',
      'file://',
      '*',
      'capacitor://localhost',
    ]);
  });

  it('does not change the document', () => {
    const document = scheduled({ feed: { type: 'address', url: 'https://${HOST}' } });
    const before = structuredClone(document);
    parse(document, { HOST: 'x' });
    expect(document).toEqual(before);
  });
});

describe('parseConfig > tokens', () => {
  const LONG = '0123456789abcdef';
  const SHA256_OF_ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

  it('keeps only hashes, however the token is given, and lets them read unless told otherwise', () => {
    const document = tokens(
      { name: 'a', token: 'abc' },
      { name: 'b', tokenEnv: 'ABC', role: 'operator' },
      { name: 'c', sha256: SHA256_OF_ABC.toUpperCase() },
      { name: 'd', token: 'abc', role: 'publisher', rooms: ['ops-*'] },
    );
    expect(parse(document, { ABC: 'abc' }).admin.tokens).toEqual([
      { name: 'a', role: 'viewer', sha256: SHA256_OF_ABC },
      { name: 'b', role: 'operator', sha256: SHA256_OF_ABC },
      { name: 'c', role: 'viewer', sha256: SHA256_OF_ABC },
      { name: 'd', role: 'publisher', rooms: ['ops-*'], sha256: SHA256_OF_ABC },
    ]);
  });

  it('takes BELFRY_ADMIN_TOKEN for an operator named env, on any host', () => {
    const [config, open] = ['::1', '0.0.0.0'].map((host) =>
      parse({ server: { host } }, { BELFRY_ADMIN_TOKEN: host === '::1' ? 'abc' : LONG }),
    );
    expect(config?.admin.tokens).toEqual([{ name: 'env', role: 'operator', sha256: SHA256_OF_ABC }]);
    expect(open?.admin.tokens).toMatchObject([{ name: 'env', role: 'operator' }]);
  });

  it('takes an empty BELFRY_ADMIN_TOKEN for none', () => {
    expect(parse({}, { BELFRY_ADMIN_TOKEN: '' }).admin.tokens).toEqual([]);
    expect(faultsOf(() => parse({ server: { host: '::' } }, { BELFRY_ADMIN_TOKEN: '' }))).toHaveLength(1);
  });

  it('refuses a BELFRY_ADMIN_TOKEN that cannot be sent, without repeating it', () => {
    const [fault] = faultsOf(() => parse({}, { BELFRY_ADMIN_TOKEN: 'abc\n' }));
    expect(fault?.message).toMatch(/^the environment variable BELFRY_ADMIN_TOKEN holds a blank/);
    expect(fault?.message).not.toContain('abc');
  });

  it.each(['127.0.0.1', '127.9.9.9', 'localhost', '::1', '[::1]', '::ffff:127.0.0.1'])(
    'needs none on %s',
    (host) => {
      expect(parse({ server: { host } }).admin.tokens).toEqual([]);
    },
  );

  it.each(['0.0.0.0', '::', '192.168.0.7', 'wall.example.com'])('needs one on %s', (host) => {
    expect(faultsOf(() => parse({ server: { host } })).map(({ path }) => path)).toEqual(['admin.tokens']);
    expect(parse({ server: { host }, ...tokens({ name: 'a', token: LONG }) }).server.host).toBe(host);
  });

  it('takes short ones on a loopback address only, and does not repeat them', () => {
    const document = (host: string) => ({
      server: { host },
      ...tokens(
        { name: 'a', token: LONG.slice(1) },
        { name: 'b', tokenEnv: 'SHORT' },
        { name: 'c', token: LONG },
        { name: 'd', tokenEnv: 'FITS' },
        { name: 'e', sha256: SHA256_OF_ABC },
        { name: 'f', token: '' },
      ),
    });
    const env = { SHORT: 'abc', FITS: 'é'.repeat(16), BELFRY_ADMIN_TOKEN: 'é'.repeat(15) };
    const local = faultsOf(() => parse(document('localhost'), env));
    expect(local.map(({ path }) => path)).toEqual(['admin.tokens[5].token']);
    const short =
      'is too short for server.host "wall.example.com", which others can reach: write at least 16 characters';
    expect(faultsOf(() => parse(document('wall.example.com'), env))).toEqual([
      { path: 'admin.tokens[5].token', message: 'is empty' },
      { path: 'admin.tokens[0].token', message: short },
      { path: 'admin.tokens[1].tokenEnv', message: `the environment variable SHORT ${short}` },
      { path: '', message: `the environment variable BELFRY_ADMIN_TOKEN ${short}` },
    ]);
  });

  it('counts characters, not bytes', () => {
    const fits = (token: string) =>
      parse({ server: { host: '0.0.0.0' }, ...tokens({ name: 'a', token }) }).admin.tokens.length;
    expect(fits('😀'.repeat(16))).toBe(1);
    expect(() => fits('😀'.repeat(15))).toThrow(/too short/);
  });

  it('has one holder of the name env where BELFRY_ADMIN_TOKEN is set', () => {
    const document = tokens({ name: 'env', token: 'abc' });
    expect(parse(document).admin.tokens).toHaveLength(1);
    expect(faultsOf(() => parse(document, { BELFRY_ADMIN_TOKEN: 'abc' }))).toEqual([
      {
        path: 'admin.tokens[0].name',
        message: '"env" is the name of BELFRY_ADMIN_TOKEN, which is set: write another',
      },
    ]);
  });
});

describe('parseConfig > ${NAME}', () => {
  const feed = (url: string, headers: unknown = {}) => scheduled({ feed: { type: 'address', url, headers } });

  it('is replaced in every string of a feed, before its options are checked', () => {
    const { schedules } = parse(
      feed('${URL}/a', { authorization: 'Bearer ${KEY}', plain: '$${KEY} $5 {KEY}' }),
      {
        URL: 'https://x',
        KEY: '$&',
      },
    );
    expect(schedules[0]?.feed.options).toEqual({
      url: 'https://x/a',
      headers: { authorization: 'Bearer $&', plain: '${KEY} $5 {KEY}' },
    });
  });

  it('is not replaced anywhere else', () => {
    expect(() => parse(scheduled({ name: '${NAME}' }), { NAME: 'b' })).toThrow(
      '"${NAME}" is not a schedule name',
    );
  });

  it('is no variable where only the prototype has it', () => {
    const [fault] = faultsOf(() => parse(feed('https://${constructor}')));
    expect(fault?.message).toMatch(/^the environment variable constructor is not set/);
  });

  it('stands in messages for what it is', () => {
    const [fault] = faultsOf(() => parse(feed('no address ${KEY}'), { KEY: 's3"cret' }));
    expect(fault).toEqual({ path: 'schedules[0].feed.url', message: '"no address ${KEY}" is not a URL' });
  });

  it('stands in messages for what it is, however long', () => {
    const env = { KEY: 's3cret'.repeat(1000) };
    const [fault] = faultsOf(() => parse(feed('no address ${KEY}'), env));
    expect(fault?.message).toBe('"no address ${KEY}" is not a URL');
  });
});
