import { EventEmitter } from 'node:events';
import type { CloseReason } from './close-reason.ts';
import type { Connection } from './connection.ts';
import type { RoomEvent } from './event.ts';

/** What the hub says of what happens in it. A listener that throws is reported and harms nobody. */
export interface HubEvents {
  join: [{ room: string; connection: Connection }];
  leave: [{ room: string; connection: Connection }];
  message: [RoomEvent];
  close: [{ connection: Connection; reason: CloseReason }];
}

/** An emitter on which no listener can harm another one, or whoever tells. */
export class HubEmitter extends EventEmitter<HubEvents> {
  readonly #onFault: (what: string, error: unknown) => void;

  constructor(onFault: (what: string, error: unknown) => void) {
    super();
    this.#onFault = onFault;
  }

  /** As `emit`, which lets the first listener that throws keep the event from the others. */
  tell<Name extends keyof HubEvents>(name: Name, ...values: HubEvents[Name]): void {
    const onFault = (error: unknown) => this.#onFault(`a listener of "${name}" threw`, error);
    for (const listener of this.rawListeners(name)) {
      try {
        const result: unknown = Reflect.apply(listener, this, values);
        if (result instanceof Promise) result.catch(onFault);
      } catch (error) {
        onFault(error);
      }
    }
  }
}
