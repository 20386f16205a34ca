import { type Ending, NO_CLOSE_FRAME, type OpenWire, refusedBy } from './wire.ts';

/** How long the request may take that finds out why there was no connection. */
const QUESTION_MS = 5000;

/** The browser's WebSocket, to an address over http or https. */
export const openWebSocket: OpenWire = (address, listener) => {
  const { url, token } = withoutToken(address);
  url.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(url, token === null ? [] : ['belfry', `bearer.${token}`]);
  let isOpen = false;
  let isDropped = false;
  socket.onopen = () => {
    isOpen = true;
    listener.opened();
  };
  socket.onmessage = ({ data }) => listener.received(String(data));
  socket.onclose = async ({ code, reason }) => {
    const ending: Ending = isOpen ? { how: 'closed', code, reason } : await whyNot(address);
    if (!isDropped) listener.ended(ending);
  };
  const drop = () => {
    isDropped = true;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  };
  return {
    async send(text) {
      socket.send(text);
    },
    async close() {
      drop();
    },
    terminate: drop,
  };
};

/** The browser's EventSource, without its own reconnecting, which gives up at the first 502 of a proxy. */
export const openEventSource: OpenWire = (address, listener) => {
  const source = new EventSource(address);
  let isOpen = false;
  let isDropped = false;
  const drop = () => {
    isDropped = true;
    source.onopen = source.onmessage = source.onerror = null;
    source.close();
  };
  source.onopen = () => {
    isOpen = true;
    listener.opened();
  };
  source.onmessage = ({ data }) => listener.received(String(data));
  source.onerror = async () => {
    source.onerror = null;
    source.close();
    const ending: Ending = isOpen
      ? { how: 'closed', code: NO_CLOSE_FRAME, reason: '' }
      : await whyNot(address);
    if (!isDropped) listener.ended(ending);
  };
  return {
    async close() {
      drop();
    },
    terminate: drop,
  };
};

/** What a subprotocol may carry of tokens: a browser throws for other characters. */
const TOKEN = /^[\w.-]+$/;

/**
 * The address without the token in it, which then stands in no log of a proxy. An EventSource alone has to
 * send it in the address.
 */
function withoutToken(address: URL): { readonly url: URL; readonly token: string | null } {
  const url = new URL(address);
  const token = url.searchParams.get('access_token');
  if (token === null || !TOKEN.test(token)) return { url, token: null };
  url.searchParams.delete('access_token');
  return { url, token };
}

/**
 * Why a connection was refused: browsers do not show the answer to a WebSocket or an EventSource, so the
 * same address is read as JSON. `failed` where there is no answer, or it would be open now.
 */
async function whyNot(address: URL): Promise<Ending> {
  try {
    const { url, token } = withoutToken(address);
    const answer = await fetch(url, {
      headers: {
        Accept: 'application/json',
        ...(token !== null && { Authorization: `Bearer ${token}` }),
      },
      signal: AbortSignal.timeout(QUESTION_MS),
    });
    if (answer.ok) return { how: 'failed', text: '' };
    const { status, statusText, headers } = answer;
    const body: unknown = await answer.json().catch(() => undefined);
    return {
      how: 'refused',
      ...refusedBy({ status, statusText, retryAfter: headers.get('Retry-After') }, body),
    };
  } catch {
    return { how: 'failed', text: '' };
  }
}
