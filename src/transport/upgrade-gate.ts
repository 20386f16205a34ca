import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Admission, AdmittedClient } from '../access/admission.ts';
import { Refusal, type RefusalReason, reasonOf } from '../hub/errors.ts';
import { writeProblem } from './problem.ts';
import { checkHandshake, UpgradeCaller } from './request-head.ts';

/** A request of an admitted client, with a valid WebSocket handshake. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly entry: AdmittedClient;
}

export interface UpgradeGateParts {
  readonly admission: Pick<Admission, 'enter'>;
  /**
   * Called in the same event-loop iteration; from then on responsible for the socket and for the client's
   * slots.
   */
  readonly accept: (upgrade: Upgrade) => void;
  /** Called with the reason of each request that was refused. */
  readonly onRefused: (reason: RefusalReason) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/** Decides on each upgrade request: answers it with a problem, or admits its client. */
export class UpgradeGate {
  readonly #parts: UpgradeGateParts;
  readonly #refused = new Set<Duplex>();

  constructor(parts: UpgradeGateParts) {
    this.#parts = parts;
  }

  /** The sockets that got a problem for an answer and are not closed yet. */
  get refused(): ReadonlySet<Duplex> {
    return this.#refused;
  }

  /** For the `upgrade` event of a server, of another program's too. Never throws. */
  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const { admission, accept, onRefused, onFault } = this.#parts;
    // Without a listener a reset would end the process.
    socket.on('error', destroyThis);
    // Possible on another program's server, whose requests are not answered one at a time.
    if (hasUnfinishedAnswer(socket)) {
      onRefused('input');
      socket.destroy();
      return;
    }
    let entry: AdmittedClient | undefined;
    try {
      checkHandshake(request);
      entry = admission.enter(new UpgradeCaller(request));
      accept({ request, socket, head, entry });
    } catch (error) {
      if (entry || !(error instanceof Refusal)) onFault('a WebSocket could not be opened', error);
      if (entry) abandon(socket, entry);
      else this.#refuse(socket, error);
    }
  };

  #refuse(socket: Duplex, error: unknown): void {
    this.#parts.onRefused(reasonOf(error));
    this.#refused.add(socket);
    socket.once('close', () => this.#refused.delete(socket));
    writeProblem(socket, error);
  }
}

/** Ends an admitted client that got no WebSocket. */
export function abandon(socket: Duplex, { slot, reservation }: AdmittedClient): void {
  socket.destroy();
  slot.release();
  reservation.release();
}

/** The listener for errors of a socket that is still the gate's. */
export function destroyThis(this: Duplex): void {
  this.destroy();
}

/** Node keeps the response that a socket belongs to in this property, and has no other way to ask for it. */
function hasUnfinishedAnswer(socket: Duplex & { readonly _httpMessage?: unknown }): boolean {
  return Boolean(socket._httpMessage);
}
