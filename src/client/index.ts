/**
 * The client library of Belfry, for browsers and Node: `belfry/client`, and `/client.js` of every server.
 */
import { Client } from './client.ts';
import type { ConnectOptions } from './options.ts';

export type { Tick } from '../protocol/event.ts';
export type { Client } from './client.ts';
export type { ClientEvents } from './events.ts';
export type { Freshness, Schedule } from './freshness.ts';
export type { Gap, Message, RoomItem, StatusEvent, TickEvent } from './messages.ts';
export type { ConnectOptions, PublishOptions } from './options.ts';
export type { ClientState } from './reconnecting-client.ts';
export { BelfryError } from './requests.ts';
export type { WebSocketConstructor, WebSocketLike } from './wires.ts';

/**
 * Listens to rooms of a server, and goes on until `close`: it connects again after every outage, hands each message
 * over once or reports a gap, and knows the server's time. Throws a `TypeError` where `url` or `rooms` is wrong.
 *
 *     const belfry = connect('https://wall.example.com', { rooms: ['lobby'] });
 *     belfry.on('message', ({ data }) => console.log(data));
 *
 * `url` is the address of the server, with the path that it is under where it has one; in a page it may be relative.
 */
export function connect(url: string | URL, options: ConnectOptions): Client {
  return new Client(url, options);
}
