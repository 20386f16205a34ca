import { members, type Received, SERVER_EVENTS, type Transport } from '../../client/protocol/received.ts';
import { statusWords } from '../../client/protocol/status.ts';
import { byId } from './elements.ts';
import { Link, type LinkState } from './link.ts';
import { Log } from './log.ts';
import { Messages } from './messages.ts';
import { localTime, readable } from './text.ts';
import { Ticks } from './ticks.ts';

/** The live page of the room that it was loaded from. Query parameters go along. */

const room = decodeURIComponent(location.pathname.split('/').pop() ?? '');
const log = new Log(byId('log'));
const messages = new Messages(byId('messages'));
const ticks = new Ticks(byId('ticks'));
const openButton = byId('open') as HTMLButtonElement; // as room.html has them
const closeButton = byId('close') as HTMLButtonElement;
const sendButton = byId('send') as HTMLButtonElement;
const words = byId('words') as HTMLInputElement;
const transports = byId('transports') as HTMLFormElement;
const state = byId('state');

const link = new Link(new URL(location.pathname + location.search, location.origin), {
  state: showState,
  received: show,
  note: (kind, text) => log.add(kind, text),
});

function transport(): Transport {
  return new FormData(transports).get('transport') === 'sse' ? 'sse' : 'websocket';
}

function showState(now: LinkState): void {
  state.className = now.name;
  state.textContent = inWords(now);
  openButton.disabled = now.name === 'connecting' || now.name === 'open';
  closeButton.disabled = now.name === 'closed';
  sendButton.disabled = now.name !== 'open' || transport() === 'sse';
  byId('hint').textContent = transport() === 'sse' ? 'SSE only listens: choose WebSocket to send.' : '';
}

function inWords(now: LinkState): string {
  if (now.name === 'connecting') return 'Connecting…';
  if (now.name === 'open') return `Open over ${transport() === 'sse' ? 'SSE' : 'WebSocket'}`;
  if (now.name === 'waiting') return `Waiting: ${now.why}. Next try at ${localTime(now.until)}`;
  return `Closed: ${now.why}`;
}

function show(received: Received): void {
  const { reply, error, tick, event, id, data } = received;
  if (error) {
    log.add('failed', `${reply}: ${error.status} ${error.title}: ${error.detail ?? ''}`);
    return;
  }
  if (tick) {
    if (!ticks.tick(tick, received)) log.add('failed', `chain of ${tick.schedule} broken before ${tick.due}`);
  } else if (event === 'status') ticks.status(data);
  else if (event === 'hello') warnOfGap(data);
  else if (id !== undefined || (event !== undefined && !SERVER_EVENTS.has(event))) messages.add(received);
  log.add('received', summary(received));
}

function warnOfGap(hello: unknown): void {
  if (Object.values(members(members(hello).resumed)).includes(false))
    log.add('failed', 'messages that came while away may be missing: the server could not resume');
}

function summary({ reply, event, tick, data, replay, conflated }: Received): string {
  const parts = [reply === undefined ? event : `reply to ${reply}`];
  if (tick) parts.push(`${tick.schedule} due ${tick.due}${tick.seq === undefined ? '' : ` seq ${tick.seq}`}`);
  if (tick?.manual) parts.push('by hand');
  if (replay) parts.push('sent again');
  if (conflated) parts.push(`in place of ${conflated} more`);
  if (event === 'status') parts.push(statusWords(data));
  else if (data !== undefined && !tick) parts.push(readable(data));
  return parts.join(' · ');
}

/** What is JSON is sent as that, anything else as `{"text": …}`. */
function dataOf(typed: string): unknown {
  try {
    return JSON.parse(typed);
  } catch {
    return { text: typed };
  }
}

openButton.addEventListener('click', () => link.open(transport()));
closeButton.addEventListener('click', () => link.close());
transports.addEventListener('change', () => link.open(transport()));
byId('sending').addEventListener('submit', (submitted) => {
  submitted.preventDefault();
  if (sendButton.disabled || words.value === '') return;
  link.send(JSON.stringify({ action: 'publish', data: dataOf(words.value) }));
  words.value = '';
});

document.title = `${room} · Belfry`;
byId('room').textContent = room;
link.open(transport());
