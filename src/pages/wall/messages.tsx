import { useState } from 'preact/hooks';
import type { Message } from '../../client/messages.ts';
import { ageWords } from './age.ts';
import { linkWords, type Notice, noticeOf } from './notice.ts';
import type { Wall } from './wall.ts';

/** More banners than that take each other's place. */
const MAX_BANNERS = 2;
const PAGE_SECONDS = 10;

/** The retained messages, until they end. */
export function Banners({ wall }: { wall: Wall }) {
  const { client, address } = wall;
  const all = [...client.retained.entries()].reverse();
  if (all.length === 0) return null;
  const groups = Math.ceil(all.length / MAX_BANNERS);
  const group = Math.floor(client.now() / 1000 / PAGE_SECONDS) % groups;
  return (
    <ul class="banners" aria-live="polite">
      {all.slice(group * MAX_BANNERS, (group + 1) * MAX_BANNERS).map(([name, { data, room }], at) => {
        const notice = noticeOf(data, address.page);
        return (
          <li key={name} class={notice.level}>
            <NoticeText notice={notice} />
            <RoomName wall={wall} room={room} />
            {groups > 1 && at === 0 && (
              <span class="count">
                {group + 1}/{groups}
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** The newest message of each room, with its age. */
export function Newest({ wall, messages }: { wall: Wall; messages: readonly Message[] }) {
  return (
    <section class="messages" aria-label="Messages" aria-live="polite">
      {messages.map((message) => (
        <Article key={message.room ?? ''} wall={wall} message={message} />
      ))}
    </section>
  );
}

function Article({ wall, message: { data, room, time, from } }: { wall: Wall; message: Message }) {
  const notice = noticeOf(data, wall.address.page);
  const who = from && (from.user ?? from.device);
  return (
    <article class={notice.level} style={{ '--length': notice.title.length + notice.text.length }}>
      <NoticeText notice={notice} />
      <p class="age">
        {[ageWords(wall.client.now() - Date.parse(time)), who].filter(Boolean).join(' · ')}
        <RoomName wall={wall} room={room} />
      </p>
    </article>
  );
}

/** Title, text, picture and link of a message. */
export function NoticeText({ notice: { title, text, link, image, level } }: { notice: Notice }) {
  const [failed, setFailed] = useState('');
  return (
    <>
      {image && image.href !== failed && (
        <img src={image.href} alt="" onError={() => setFailed(image.href)} />
      )}
      <div class="words">
        {level !== 'info' && <p class="level">{level}</p>}
        {title && <p class="title">{title}</p>}
        {text && <p class="text">{text}</p>}
        {link && (
          <p class="link">
            <a href={link.href} rel="noreferrer">
              {linkWords(link)}
            </a>
          </p>
        )}
      </div>
    </>
  );
}

/** Said where a wall shows several rooms. */
function RoomName({ wall, room }: { wall: Wall; room: string | undefined }) {
  if (wall.address.rooms.length < 2 || room === undefined) return null;
  return <span class="room">{wall.settings.find((each) => each.room === room)?.title ?? room}</span>;
}
