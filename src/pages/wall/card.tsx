import { useMemo, useState } from 'preact/hooks';
import type { Schedule } from '../../client/freshness.ts';
import { ageWords } from './age.ts';
import { ClockText, zoneOf, zoneWords } from './clock-text.ts';
import { linkWords } from './notice.ts';
import { type Shown, shownValue } from './values.ts';
import type { Wall } from './wall.ts';

/** One schedule: its name, its value, and how old that is where it is not live. */
export function Card({ wall, schedule }: { wall: Wall; schedule: Readonly<Schedule> }) {
  const { name, event, freshness } = schedule;
  const rooms = wall.settings.filter(({ schedules }) => schedules.includes(name)).map(({ room }) => room);
  const isShared = rooms.length === 0 || rooms.length === wall.settings.length;
  return (
    <li class={`card ${freshness}`}>
      <h2>
        <span>{cardTitle(name)}</span>
        {!isShared && <span class="room">{rooms.join(', ')}</span>}
      </h2>
      {event ? <Value wall={wall} name={name} data={event.data} /> : <p class="value text">–</p>}
      {freshness !== 'live' && <p class="age">{troubleWords(wall, schedule)}</p>}
    </li>
  );
}

/** "Room 4" for `room-4`. */
function cardTitle(name: string): string {
  const words = name.replace(/[-_.:]+/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** "4 minutes ago, the source cannot be reached". */
function troubleWords({ reasons }: Wall, { name, ageMs, event, state }: Readonly<Schedule>): string {
  const reason = state === 'paused' ? 'paused' : reasons.get(name);
  return [event ? ageWords(ageMs) : 'no value yet', reason].filter(Boolean).join(', ');
}

function Value({ wall, name, data }: { wall: Wall; name: string; data: unknown }) {
  const zone = zoneOf(data);
  if (zone !== undefined) return <SmallClock wall={wall} name={name} timezone={zone} />;
  const shown = shownValue(data, wall.address.page);
  switch (shown.kind) {
    case 'number':
      return <NumberValue wall={wall} name={name} shown={shown} />;
    case 'image':
      return <Picture url={shown.url} />;
    case 'link':
      return <LinkText url={shown.url} />;
    case 'table':
      return <Table shown={shown} />;
    case 'text':
      return (
        <p class="value text" style={{ '--length': shown.text.length }}>
          {shown.text}
        </p>
      );
  }
}

function SmallClock({
  wall: { client, style },
  name,
  timezone,
}: {
  wall: Wall;
  name: string;
  timezone: string;
}) {
  const { locale, hourCycle } = style ?? {};
  const text = useMemo(
    () => new ClockText(timezone, { locale, hourCycle }, false),
    [timezone, locale, hourCycle],
  );
  const { time, dayPeriod } = text.face(client.now());
  const zone = zoneWords(timezone);
  const isNamed = cardTitle(name).toLowerCase() === zone.toLowerCase();
  const unit = [dayPeriod, isNamed ? '' : zone].filter(Boolean).join(' ');
  return (
    <p class="value number" style={{ '--length': 5 + unit.length * 0.6 }}>
      {time}
      {unit && <span class="unit">{unit}</span>}
    </p>
  );
}

function NumberValue({ wall, name, shown }: { wall: Wall; name: string; shown: Shown & { kind: 'number' } }) {
  const locale = wall.style?.locale;
  const maximumFractionDigits = Math.abs(shown.number) < 1 ? 3 : 2;
  const text = shown.number.toLocaleString(locale, { maximumFractionDigits });
  const points = wall.points.get(name) ?? [];
  return (
    <>
      <p class="value number" style={{ '--length': text.length + shown.unit.length * 0.6 }}>
        {text}
        {shown.unit && <span class="unit">{shown.unit}</span>}
      </p>
      {points.length > 1 && <Sparkline points={points} />}
    </>
  );
}

/** The last values, the newest at the right end. */
function Sparkline({ points }: { points: readonly number[] }) {
  const low = Math.min(...points);
  const range = Math.max(...points) - low || 1;
  const at = (value: number, index: number) =>
    `${(index / (points.length - 1)) * 100},${20 - ((value - low) / range) * 18 - 1}`;
  return (
    <svg class="sparkline" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points.map(at).join(' ')} />
    </svg>
  );
}

/** An image that cannot be loaded is shown as its address. */
function Picture({ url }: { url: URL }) {
  const [failed, setFailed] = useState('');
  if (failed === url.href) return <LinkText url={url} />;
  return <img class="value" src={url.href} alt="" onError={() => setFailed(url.href)} />;
}

function LinkText({ url }: { url: URL }) {
  return (
    <p class="value text" style={{ '--length': linkWords(url).length }}>
      <a href={url.href} rel="noreferrer">
        {linkWords(url)}
      </a>
    </p>
  );
}

function Table({ shown: { columns, rows, left } }: { shown: Shown & { kind: 'table' } }) {
  return (
    <div class="value rows" style={{ '--rows': rows.length + Number(left > 0) + Number(columns.length > 0) }}>
      <table>
        {columns.length > 0 && (
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {rows.map(([first, ...cells], at) => (
            <tr key={at}>
              <th scope="row">{first}</th>
              {cells.map((cell, index) => (
                <td key={index}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {left > 0 && <p>and {left} more</p>}
    </div>
  );
}
