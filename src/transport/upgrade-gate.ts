import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Admission, AdmittedClient } from '../access/admission.ts';
import { Refusal, type RefusalReason, reasonOf } from '../hub/errors.ts';
import { writeProblem } from './problem.ts';
import { checkHandshake, RequestCaller } from './request-head.ts';

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
   * Called as soon as the client is admitted; from then on responsible for the socket and for the client's
   * slots.
   */
  readonly accept: (upgrade: Upgrade) => void;
  /** Called with the reason of each request that was refused. */
  readonly onRefused: (reason: RefusalReason) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/**
 * Decides on each upgrade request: answers it with a problem, or admits its client. At once, but for a client
 * with a token: its socket waits here while the token is verified, and may be gone afterwards.
 */
export class UpgradeGate {
  readonly #parts: UpgradeGateParts;
  readonly #held = new Set<Duplex>();

  constructor(parts: UpgradeGateParts) {
    this.#parts = parts;
  }

  /** The sockets that wait for the decision, or got a problem for an answer, and are not closed yet. */
  get held(): ReadonlySet<Duplex> {
    return this.#held;
  }

  /** For the `upgrade` event of a server, of another program's too. Never throws. */
  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const { admission, onRefused } = this.#parts;
    // Without a listener a reset would end the process.
    socket.on('error', destroyThis);
    // Possible on another program's server, whose requests are not answered one at a time.
    if (hasUnfinishedAnswer(socket)) {
      onRefused('input');
      socket.destroy();
      return;
    }
    try {
      checkHandshake(request);
      const entry = admission.enter(new RequestCaller(request));
      if (!(entry instanceof Promise)) {
        this.#accept({ request, socket, head, entry });
        return;
      }
      this.#hold(socket);
      entry.then(
        (admitted) => this.#accept({ request, socket, head, entry: admitted }),
        (error) => this.#refuse(socket, error),
      );
    } catch (error) {
      this.#refuse(socket, error);
    }
  };

  #accept(upgrade: Upgrade): void {
    const { socket, entry } = upgrade;
    this.#held.delete(socket);
    if (socket.destroyed) {
      abandon(socket, entry);
      return;
    }
    try {
      this.#parts.accept(upgrade);
    } catch (error) {
      this.#parts.onFault('a WebSocket could not be opened', error);
      abandon(socket, entry);
    }
  }

  #refuse(socket: Duplex, error: unknown): void {
    const { onRefused, onFault } = this.#parts;
    onRefused(reasonOf(error));
    if (!(error instanceof Refusal)) onFault('a WebSocket could not be opened', error);
    this.#hold(socket);
    writeProblem(socket, error);
  }

  #hold(socket: Duplex): void {
    if (this.#held.has(socket)) return;
    this.#held.add(socket);
    socket.once('close', () => this.#held.delete(socket));
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
