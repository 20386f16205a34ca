import { describe, expect, it } from 'vitest';
import { ConfigError, formatFaults } from '../../src/config/errors.ts';
import { applyOverrides } from '../../src/config/load.ts';
import { faultsOf } from './fixture.ts';

const file = { server: { host: 'a', port: 1, idleSeconds: 9 }, rooms: [] };

describe('applyOverrides', () => {
  it('puts flags over the environment over the file', () => {
    const env = { BELFRY_HOST: 'b', BELFRY_PORT: '2' };
    expect(applyOverrides(file, { env: {} })).toEqual(file);
    expect(applyOverrides(file, { env })).toEqual({
      server: { host: 'b', port: 2, idleSeconds: 9 },
      rooms: [],
    });
    expect(applyOverrides(file, { env, host: 'c', port: '3' })).toMatchObject({
      server: { host: 'c', port: 3 },
    });
    expect(applyOverrides({}, { env: {}, port: 0 })).toEqual({ server: { port: 0 } });
  });

  it('takes an empty variable for one that is not set', () => {
    expect(applyOverrides(file, { env: { BELFRY_HOST: '', BELFRY_PORT: '' } })).toEqual(file);
  });

  it.each(['x', '-1', '70000', '80.5', '0x50', ' 80'])(
    'refuses port %j and says where it came from',
    (port) => {
      const message = `"${port}" is not a port: write a whole number from 0 to 65535`;
      expect(faultsOf(() => applyOverrides({}, { env: {}, port }))).toEqual([
        { source: '--port', path: '', message },
      ]);
      expect(faultsOf(() => applyOverrides({}, { env: { BELFRY_PORT: port } }))).toEqual([
        { source: 'BELFRY_PORT', path: '', message },
      ]);
    },
  );

  it('tells of both faults, as lines', () => {
    const error = new ConfigError(
      faultsOf(() => applyOverrides({}, { env: { BELFRY_HOST: 'http://x' }, port: '' })),
    );
    expect(formatFaults('belfry.json', error)).toEqual([
      'BELFRY_HOST: "http://x" is not a host: write an address or a name, such as "127.0.0.1"',
      '--port: "" is not a port: write a whole number from 0 to 65535',
    ]);
  });

  it.each([[[]], [null], [{ server: 5 }]])('leaves %j for parsing to refuse', (document) => {
    expect(applyOverrides(document, { env: {}, port: '1' })).toBe(document);
  });
});

describe('formatFaults', () => {
  it('writes a line for each fault, with the file and the place', () => {
    const faults = [
      { path: '', message: 'm' },
      { path: 'schedules[1].cron', message: 'n' },
    ];
    expect(formatFaults('belfry.json', new ConfigError(faults))).toEqual([
      'belfry.json: m',
      'belfry.json: schedules[1].cron: n',
    ]);
  });
});
