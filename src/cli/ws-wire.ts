import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { type Ending, type OpenWire, refusedBy } from '../client/wire.ts';

const HANDSHAKE_MS = 10_000;
/** How much of a refusal's body is read. */
const MAX_BODY_CHARACTERS = 65_536;

/**
 * WebSockets of the package `ws`, which can do what those of a browser cannot: send headers, report pings and
 * the answer to a refused upgrade, and pause. `token` is sent as a header, never in the address.
 */
export function wsWire(token: string | undefined): OpenWire {
  return (address, listener) => {
    const socket = new WebSocket(address, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      handshakeTimeout: HANDSHAKE_MS,
      perMessageDeflate: false,
    });
    let isOpen = false;
    let isDropped = false;
    let failure = '';
    const end = (ending: Ending) => {
      if (isDropped) return;
      isDropped = true;
      socket.terminate();
      listener.ended(ending);
    };
    socket.on('open', () => {
      isOpen = true;
      listener.opened();
    });
    socket.on('message', (data) => {
      if (!isDropped) listener.received(data.toString());
    });
    socket.on('ping', () => {
      if (!isDropped) listener.pinged();
    });
    socket.on('unexpected-response', async (_request, response) => {
      end({ how: 'refused', ...(await refusalIn(response)) });
    });
    socket.on('error', (error) => {
      failure = errorText(error, address);
    });
    socket.on('close', (code, reason) => {
      if (isOpen) end({ how: 'closed', code, reason: reason.toString() || failure });
      else end({ how: 'failed', text: failure });
    });
    return {
      send: (text) => new Promise((resolve) => socket.send(text, () => resolve())),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      close() {
        isDropped = true;
        socket.close(1000);
        return new Promise((resolve) => socket.once('close', () => resolve()));
      },
      terminate() {
        isDropped = true;
        socket.terminate();
      },
    };
  };
}

async function refusalIn(response: IncomingMessage) {
  const { statusCode: status = 0, statusMessage: statusText = '', headers } = response;
  return refusedBy({ status, statusText, retryAfter: headers['retry-after'] }, await bodyOf(response));
}

/** The body's JSON; undefined where there is none. */
async function bodyOf(response: IncomingMessage): Promise<unknown> {
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk;
      if (text.length > MAX_BODY_CHARACTERS) break;
    }
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorText(error: Error, address: URL): string {
  const code = 'code' in error ? String(error.code) : '';
  return code === 'ECONNREFUSED' ? `nobody listens at ${address.host}` : error.message || code;
}
