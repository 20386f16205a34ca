import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Refusal, shown } from '../hub/errors.ts';
import { writeProblem } from './raw-problem.ts';

/** Whether a request asks for what a room's address can be upgraded to. */
export function isWebSocketUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Answers a request to upgrade to something else (`h2c`, as `curl --http2` asks) as if it had not
 * asked, which RFC 9110, 7.8 lets a server do; then the connection ends, since Node has stopped to
 * read requests from it. For the same reason a body cannot be read: such a request is a 400. No answer
 * may be unfinished on the socket.
 */
export function ignoreUpgrade(
  request: IncomingMessage,
  socket: Socket,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): void {
  const { headers } = request;
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) {
    writeProblem(
      socket,
      new Refusal(
        400,
        `cannot upgrade to ${shown(headers.upgrade ?? '')}: send what has a body without Upgrade`,
      ),
    );
    return;
  }
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.on('finish', () => socket.end(() => socket.destroy()));
  // What Node did for the socket until it handed it over. Without the first a reset would end the process.
  socket.on('error', () => socket.destroy());
  socket.on('drain', () => response.emit('drain'));
  socket.on('end', () => socket.destroy());
  socket.on('timeout', () => {
    if (socket.writableLength > 0) socket.destroy();
  });
  socket.resume();
  answer(request, response);
}
