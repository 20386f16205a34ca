import { describe, expect, it } from 'vitest';
import type { Schedules } from '../../src/schedule/schedules.ts';
import { schedule, start } from './fixture.ts';

const stateOf = async (schedules: Schedules) => (await schedules.get('clock')).state;

describe('a schedule that was paused or resumed by hand', () => {
  it('stays so after a restart, and sends no tick', async () => {
    const { clock, hub, schedules, restart } = start(schedule());
    await schedules.pause('clock');
    const after = await restart(schedule());
    clock.advance(10_000);
    expect([await stateOf(after), hub.dues]).toEqual(['paused', []]);
    await after.resume('clock');
    clock.advance(3000);
    expect(hub.dues).toEqual([12]);
    expect(await stateOf(await restart(schedule()))).toBe('ok');
  });

  it('stays resumed after a restart where its config pauses it', async () => {
    const { clock, hub, schedules, restart, pauses } = start(schedule({ paused: true }));
    await schedules.resume('clock');
    expect([...pauses.kept]).toEqual([['clock', false]]);
    const after = await restart(schedule({ paused: true }));
    clock.advance(3000);
    expect([await stateOf(after), hub.dues]).toEqual(['ok', [3]]);
    await after.pause('clock');
    expect([...pauses.kept]).toEqual([]);
  });

  it('stays so when a reload changes something else', async () => {
    const { schedules, restart } = start(schedule());
    await schedules.pause('clock');
    const after = await restart(schedule());
    after.apply([schedule({ timeoutMs: 9000 })]);
    expect(await stateOf(after)).toBe('paused');
    expect(await stateOf(await restart(schedule({ timeoutMs: 9000 })))).toBe('paused');
  });

  it('is as its config says once `paused` is changed there, with a reload or a restart', async () => {
    const { schedules, restart, pauses } = start(schedule());
    await schedules.pause('clock');
    schedules.apply([schedule({ paused: true })]);
    expect([...pauses.kept]).toEqual([]);
    schedules.apply([schedule()]);
    expect(await stateOf(schedules)).toBe('ok');
    await schedules.pause('clock');
    const after = await restart(schedule({ paused: true }));
    expect([await stateOf(after), ...pauses.kept]).toEqual(['paused']);
    expect(await stateOf(await restart(schedule()))).toBe('ok');
  });

  it('is forgotten when it is removed from the config', async () => {
    const { schedules, restart, pauses } = start(schedule());
    await schedules.pause('clock');
    const after = await restart();
    expect([...pauses.kept]).toEqual([]);
    after.apply([schedule()]);
    expect(await stateOf(after)).toBe('ok');
  });

  it('is left as it is, with a 503, where that cannot be stored', async () => {
    const { schedules, pauses, reports } = start(schedule());
    pauses.failure = new Error('disk full');
    await expect(schedules.pause('clock')).rejects.toMatchObject({
      status: 503,
      message: 'that schedule "clock" is paused could not be stored, so it was not paused: try again',
    });
    expect(await stateOf(schedules)).toBe('ok');
    expect(reports).toEqual([['not stored', pauses.failure]]);
  });

  it('is paused, with a 503 that says so, where it is lost afterwards', async () => {
    const { schedules, pauses } = start(schedule());
    pauses.lateFailure = new Error('disk full');
    await expect(schedules.pause('clock')).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining('schedule "clock" is paused, but that is not stored'),
    });
    expect(await stateOf(schedules)).toBe('paused');
    pauses.lateFailure = undefined;
    await schedules.pause('clock');
    expect([...pauses.kept]).toEqual([['clock', true]]);
  });

  it('is not known by another name', async () => {
    const { schedules, pauses } = start(schedule());
    await expect(schedules.pause('tides')).rejects.toMatchObject({ status: 404 });
    expect([...pauses.kept]).toEqual([]);
  });
});
