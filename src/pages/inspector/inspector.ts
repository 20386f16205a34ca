import { streamWire, webSocketWire } from '../../client/wires.ts';
import { members, publishText, type Received, SERVER_EVENTS, type Transport } from '../../client/messages.ts';
import { type ClientState, ReconnectingClient } from '../../client/reconnecting-client.ts';
import { statusWords } from '../../client/status-text.ts';
import type { Closed, Ending } from '../../client/wire.ts';
import { roomAddress } from '../wall/address.ts';
import { fetchSettings } from '../wall/settings.ts';
import { byId } from './elements.ts';
import { Log } from './log.ts';
import { Messages } from './messages.ts';
import { localTime, readable } from './text.ts';
import { Ticks } from './ticks.ts';

/** What a room sends, as it came, and what the connection does. Query parameters of the page go along. */

const { server, rooms, token: tokenOfPage } = roomAddress(new URL(location.href));
const log = new Log(byId('log'));
const messages = new Messages(byId('messages'));
const ticks = new Ticks(byId('ticks'));
const openButton = byId('open') as HTMLButtonElement; // as inspector.html has them
const closeButton = byId('close') as HTMLButtonElement;
const sendButton = byId('send') as HTMLButtonElement;
const words = byId('words') as HTMLInputElement;
const transports = byId('transports') as HTMLFormElement;
const state = byId('state');

/** How often the page tries again where the server said to stay away, or to come back later than that. */
const LOOK_AGAIN_MS = 60_000;

/** What a subprotocol can carry of tokens: a browser throws for other characters. */
const TOKEN = /^[\w.-]+$/;

/** Of the page, without its token, which then stands in no log of a proxy. */
const address = new URL(location.pathname + location.search, location.origin);
const token = TOKEN.exec(tokenOfPage ?? '')?.[0];
if (token !== undefined) address.searchParams.delete('access_token');
address.searchParams.delete('inspect');

let client: ReconnectingClient | undefined;
/** Why nothing can be sent, though there is a connection. */
let refusal = '';

function transport(): Transport {
  return new FormData(transports).get('transport') === 'sse' ? 'sse' : 'websocket';
}

/** Connects over the transport that is chosen; a connection that is there is closed. */
function open(): void {
  const since = client?.lastId;
  void client?.close();
  client = new ReconnectingClient({
    address: () => address,
    openWire: (transport() === 'sse' ? streamWire : webSocketWire)(async () => token),
    since,
    lookAgainMs: LOOK_AGAIN_MS,
    listener: {
      onState: showState,
      onReceived: show,
      onMalformed: (text) => log.add('failed', `received what is no JSON object: ${text}`),
    },
  });
  client.connect();
}

function close(): void {
  void client?.close();
  log.add('closed', 'here, with 1000');
  showStatus('closed', 'Closed: closed here');
}

function send(text: string): void {
  if (client?.send(text)) log.add('sent', text);
}

function showState(now: ClientState): void {
  if (now.name === 'open') {
    log.add('opened', `${transport()} ${location.pathname}`);
    void askWhetherToSend();
  } else if (now.name !== 'connecting') logEnding(now.ending);
  showStatus(now.name, stateText(now));
  // It tries again, unless it is closed here.
  if (now.name === 'closed') closeButton.disabled = now.delayMs === undefined;
}

function showStatus(name: ClientState['name'], text: string): void {
  state.className = name;
  state.textContent = text;
  openButton.disabled = name === 'connecting' || name === 'open';
  closeButton.disabled = name === 'closed';
  sendButton.disabled = name !== 'open' || transport() === 'sse' || refusal !== '';
  byId('hint').textContent =
    transport() === 'sse' ? 'SSE only listens: choose WebSocket to send.' : refusal && `Sending: ${refusal}.`;
}

/** Asks the server whether the rule of the room lets this page publish. */
async function askWhetherToSend(): Promise<void> {
  const settings = await fetchSettings(server, rooms, token);
  const barred = settings?.every(({ publish }) => publish?.allowed === false);
  refusal = (barred && settings?.[0]?.publish?.detail) || '';
  if (state.className === 'open') showStatus('open', state.textContent ?? '');
}

function stateText(now: ClientState): string {
  if (now.name === 'connecting') return 'Connecting…';
  if (now.name === 'open') return `Open over ${transport() === 'sse' ? 'SSE' : 'WebSocket'}`;
  const why = endingText(now.ending);
  if (now.delayMs === undefined) return `Closed: ${why}`;
  const next = `Next try at ${localTime(new Date(Date.now() + now.delayMs))}`;
  if (now.name === 'waiting') return `Waiting: ${why}. ${next}`;
  return `Closed: ${why}. The server said not to come back; this page tries once a minute all the same. ${next}`;
}

function logEnding(ending: Ending): void {
  if (ending.how === 'closed') {
    const { code, closing } = ending;
    const { code: told, reason } = closing ?? { code, reason: reasonText(ending) };
    log.add('closed', `with ${told}: ${reason}`);
  } else log.add('failed', ending.text || 'no connection');
}

function endingText(ending: Ending): string {
  if (ending.how !== 'closed') return ending.text || 'no connection';
  const { code, closing } = ending;
  return closing
    ? `${closing.reason} (${closing.code})`
    : `${reasonText(ending) || 'connection lost'} (${code})`;
}

function reasonText({ reason, silentMs }: Closed): string {
  return silentMs === undefined ? reason : `nothing heard for ${silentMs / 1000} s`;
}

function show(received: Received): void {
  const { reply, error, tick, event, id, data, time } = received;
  if (error) {
    log.add('failed', `${reply}: ${error.status} ${error.title}: ${error.detail}`);
    return;
  }
  if (tick) {
    if (!ticks.tick(tick, received)) log.add('failed', `chain of ${tick.schedule} broken before ${tick.due}`);
  } else if (event === 'status') ticks.status(data);
  else if (event === 'hello') {
    if (time !== undefined) messages.setTime(time);
    warnOfGap(members(members(data).resumed));
  } else if (reply === 'subscribe') warnOfGap(members(data));
  else if (id !== undefined || (event !== undefined && !SERVER_EVENTS.has(event))) messages.add(received);
  log.add('received', summary(received));
}

function warnOfGap(resumed: Readonly<Record<string, unknown>>): void {
  if (Object.values(resumed).includes(false))
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

openButton.addEventListener('click', open);
closeButton.addEventListener('click', close);
transports.addEventListener('change', open);
addEventListener('online', () => client?.reconnectNow());
byId('sending').addEventListener('submit', (submitted) => {
  submitted.preventDefault();
  if (sendButton.disabled || words.value === '') return;
  send(publishText(words.value));
  words.value = '';
});

// They scroll, which a keyboard can do only where they take the focus.
for (const id of ['messages', 'log']) byId(id).tabIndex = 0;
const name = rooms.join(' · ');
const wall = new URLSearchParams(location.search);
wall.delete('inspect');
document.title = `${name} · Inspector`;
byId('room').textContent = name;
(byId('wall') as HTMLAnchorElement).href = `?${wall}`; // as inspector.html has it
open();
