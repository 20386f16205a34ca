import type { Transport } from '../../client/protocol/received.ts';

export interface WireListener {
  opened(): void;
  received(text: string): void;
  /** Called once; 1006 where there was no close frame. */
  ended(code: number, reason: string): void;
}

/** One connection, over either transport. After `close` its listener hears no more. */
export interface Wire {
  /** Absent where the transport only listens. */
  send?(text: string): void;
  close(): void;
}

const LOST = 1006;

export function openWire(transport: Transport, url: URL, listener: WireListener): Wire {
  return transport === 'websocket' ? openWebSocket(url, listener) : openEventSource(url, listener);
}

function openWebSocket(url: URL, listener: WireListener): Wire {
  const address = new URL(url);
  address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address);
  socket.onopen = () => listener.opened();
  socket.onmessage = ({ data }) => listener.received(String(data));
  socket.onclose = ({ code, reason }) => listener.ended(code, reason);
  return {
    send: (text) => socket.send(text),
    close() {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    },
  };
}

/** The browser's own reconnecting is not used: it ends for good at the first 502 of a proxy. */
function openEventSource(url: URL, listener: WireListener): Wire {
  const source = new EventSource(url);
  const close = () => {
    source.onopen = source.onmessage = source.onerror = null;
    source.close();
  };
  source.onopen = () => listener.opened();
  source.onmessage = ({ data }) => listener.received(String(data));
  source.onerror = () => {
    close();
    listener.ended(LOST, '');
  };
  return { close };
}
