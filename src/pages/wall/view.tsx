import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Schedule } from '../../client/freshness.ts';
import { BigClock } from './big-clock.tsx';
import { Card } from './card.tsx';
import { zoneOf } from './clock-text.ts';
import { Banners, Newest, NoticeText } from './messages.tsx';
import { noticeOf } from './notice.ts';
import type { Wall } from './wall.ts';
import type { WallState } from './wall-state.ts';

/** Where there are more cards than the screen has room for, each group stays so long. */
const PAGE_SECONDS = 10;
/** The smallest card, in multiples of the size of small text. */
const CARD_WIDTH = 8.5;
const CARD_HEIGHT = 4.4;
/** Width by height of a card that looks best. */
const CARD_SHAPE = 2;

/** The name of what is shown. */
export function wallTitle({ address, settings }: Wall): string {
  const title = (room: string) => settings.find((each) => each.room === room)?.title ?? room;
  return address.rooms.map(title).join(' · ');
}

/** All of the wall. */
export function View({ wall, state }: { wall: Wall; state: WallState }) {
  const { client, style } = wall;
  const schedules = inOrder(wall);
  const clock = schedules.find(({ event }) => zoneOf(event?.data) !== undefined);
  const cards = schedules.filter((each) => each !== clock);
  const messages = [...wall.newest.values()];
  const has = (list: readonly unknown[]) => (list.length > 0 ? ' has-' : ' no-');
  const query = new URLSearchParams(wall.address.page.search);
  query.set('inspect', '');
  return (
    <>
      <div class={`wall${has(cards)}cards${has(messages)}messages${has([...client.retained])}banners`}>
        <header>
          <h1>{wallTitle(wall)}</h1>
          <p class="state" role="status">
            <span class="dot" aria-hidden="true" />
            {state.words || 'Live'}
          </p>
        </header>
        <main>
          <Banners wall={wall} />
          {clock && (
            <BigClock
              timezone={style?.timezone ?? zoneOf(clock.event?.data) ?? 'UTC'}
              style={style ?? {}}
              nowMs={client.now()}
              errorMs={client.errorMs}
              isLive={clock.freshness === 'live'}
            />
          )}
          <div class="rest">
            {cards.length > 0 && <Cards wall={wall} cards={cards} />}
            {messages.length > 0 && <Newest wall={wall} messages={messages} />}
          </div>
        </main>
      </div>
      <nav aria-label="Other view">
        <a class="inspect" href={`?${query}`}>
          Inspect
        </a>
      </nav>
      <OverlayText wall={wall} />
    </>
  );
}

/** The schedules of the rooms in the order of the configuration, others behind; without those that are left out. */
function inOrder({ client, settings }: Wall): readonly Readonly<Schedule>[] {
  const known = [...client.schedules.values()];
  if (settings.length === 0) return known;
  const names = [...new Set(settings.flatMap(({ schedules }) => schedules))];
  return names.flatMap((name) => client.schedules.get(name) ?? []);
}

/** What cards have room for. */
interface Room {
  readonly maxColumns: number;
  readonly maxRows: number;
  /** Width by height of all. */
  readonly shape: number;
}

/** The number of columns with which the shape of `count` cards is nearest to the best one. */
function columnsFor(count: number, { maxColumns, maxRows, shape }: Room): number {
  const distance = (columns: number) =>
    Math.abs(Math.log(((shape / columns) * Math.ceil(count / columns)) / CARD_SHAPE)) +
    // Places that stay empty.
    (Math.ceil(count / columns) * columns - count) / count;
  return Array.from({ length: Math.min(maxColumns, count) }, (_, index) => index + 1)
    .filter((columns) => Math.ceil(count / columns) <= maxRows)
    .reduce((best, each) => (distance(each) < distance(best) ? each : best), Math.min(maxColumns, count));
}

/** The cards; where they are too many for the screen, one group after the other. */
function Cards({ wall, cards }: { wall: Wall; cards: readonly Readonly<Schedule>[] }) {
  const list = useRef<HTMLUListElement>(null);
  const [room, setRoom] = useState<Room>({ maxColumns: 1, maxRows: 1, shape: 1 });
  useLayoutEffect(() => {
    if (!list.current) return;
    const measure = () => {
      if (!list.current) return;
      const { clientWidth, clientHeight } = list.current;
      const small = Number.parseFloat(getComputedStyle(list.current).fontSize);
      const fits = (size: number, least: number) => Math.max(Math.floor(size / (least * small)), 1);
      setRoom({
        maxColumns: fits(clientWidth, CARD_WIDTH),
        maxRows: fits(clientHeight, CARD_HEIGHT),
        shape: clientWidth / Math.max(clientHeight, 1),
      });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(list.current);
    measure();
    return () => observer.disconnect();
  }, []);
  const capacity = room.maxColumns * room.maxRows;
  const groups = Math.ceil(cards.length / capacity);
  const size = Math.ceil(cards.length / groups);
  const group = Math.floor(wall.client.now() / 1000 / PAGE_SECONDS) % groups;
  const shown = cards.slice(group * size, group * size + size);
  const columns = columnsFor(size, room);
  const rows = Math.ceil(size / columns);
  return (
    <section class="cards" aria-label="Values">
      <ul ref={list} style={{ '--columns': columns, '--rows': rows }}>
        {shown.map((schedule) => (
          <Card key={schedule.name} wall={wall} schedule={schedule} />
        ))}
      </ul>
      {groups > 1 && (
        <p class="groups" aria-label={`Group ${group + 1} of ${groups}`} role="img">
          {Array.from({ length: groups }, (_, at) => (
            <span key={at} class={at === group ? 'here' : ''} />
          ))}
        </p>
      )}
    </section>
  );
}

/** What an administrator shows for some seconds. */
function OverlayText({ wall: { overlay, address, connection } }: { wall: Wall }) {
  if (!overlay || overlay.endsAtMs <= performance.now()) return null;
  if (overlay.name === 'message') {
    const notice = noticeOf(overlay.data, address.page);
    return (
      <div class={`overlay ${notice.level}`} role="alert">
        <NoticeText notice={notice} />
      </div>
    );
  }
  return (
    <div class="overlay identify" role="alert">
      <p class="device">{address.device ?? 'No device name'}</p>
      <p>Connection {connection}</p>
      <p>{address.rooms.join(', ')}</p>
    </div>
  );
}
