import { connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Conversation, Step } from './script.ts';

/** What a sound client waits for is there long before, on a busy machine too. */
const PATIENCE_MS = 10_000;
/** A client that breaks rules waits as long for an answer that may never come. */
const SHORT_PATIENCE_MS = 20;

/** Beginnings of answers over HTTP, the interim `100 Continue` not counted, and of replies over WebSocket. */
const BEGINNINGS = /HTTP\/1\.1 (?:101|[2-5]\d\d) |\{"reply":/g;
/** What may be the beginning of a beginning. */
const CARRIED = 'HTTP/1.1 200'.length;
/**
 * Bodies of problems and error replies carry the status too. 503 and 505 say something about the request
 * or the moment, the others that the server has failed.
 */
const BROKEN = /HTTP\/1\.1 50[0124] |"status":50[0124]/;

/** Counts what a client hears, without keeping it. */
class Ear {
  answers = 0;
  replies = 0;
  bytes = 0;
  isClosed = false;
  /** An answer that says that the server has failed. */
  broken: string | undefined;
  #tail = '';
  #look = () => {};

  hear(chunk: Buffer): void {
    const text = this.#tail + chunk.toString('latin1');
    let end = 0;
    for (const { 0: found, index } of text.matchAll(BEGINNINGS)) {
      if (found.startsWith('{')) this.replies++;
      else this.answers++;
      end = index + found.length;
    }
    this.broken ??= BROKEN.exec(text)?.[0];
    this.bytes += chunk.length;
    this.#tail = text.slice(Math.max(end, text.length - CARRIED));
    this.#look();
  }

  close(): void {
    this.isClosed = true;
    this.#look();
  }

  /** Resolves to whether `holds` came true in time; the end of the connection ends the wait. */
  until(holds: () => boolean, patienceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = () => {
        this.#look = () => {};
        clearTimeout(timer);
        resolve(holds());
      };
      const timer = setTimeout(done, patienceMs);
      this.#look = () => {
        if (holds() || this.isClosed) done();
      };
      this.#look();
    });
  }
}

/** Holds a conversation with the server; resolves to what was wrong with the server's part of it. */
export async function speak(port: number, { steps, isSound }: Conversation): Promise<string | undefined> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const ear = new Ear();
  const asides: Promise<string | undefined>[] = [];
  socket.on('data', (chunk) => ear.hear(chunk));
  // A reset is an answer to garbage; a sound client sees what it lacks.
  socket.on('error', () => {});
  socket.on('end', () => ear.close());
  socket.on('close', () => ear.close());
  let heardBytes = 0;

  const perform = async (step: Step): Promise<string | undefined> => {
    if ('say' in step) {
      if (socket.writable) socket.write(Buffer.from(step.say, 'latin1'));
    } else if ('turns' in step) {
      for (let turn = 0; turn < step.turns; turn++) await nextTurn();
    } else if ('reads' in step) {
      if (step.reads) socket.resume();
      else socket.pause();
    } else if ('beside' in step) {
      asides.push(aside(port, step.beside));
    } else if ('leaves' in step) {
      if (step.leaves === 'reset') socket.resetAndDestroy();
      else return end();
    } else {
      const { answers, replies } = step;
      const isThere = () => ear.answers >= answers && ear.replies >= replies;
      if (isSound) {
        if (await ear.until(isThere, PATIENCE_MS)) return undefined;
        const has = `${ear.answers} of ${answers} answers and ${ear.replies} of ${replies} replies`;
        return `the server ${ear.isClosed ? 'hung up' : `kept it waiting for ${PATIENCE_MS} ms`} after ${has}`;
      }
      await ear.until(() => ear.bytes > heardBytes, SHORT_PATIENCE_MS);
      heardBytes = ear.bytes;
    }
    return undefined;
  };
  const end = async () => {
    socket.resume();
    socket.end();
    if (await ear.until(() => ear.isClosed, PATIENCE_MS)) return undefined;
    return `the server did not let go within ${PATIENCE_MS} ms of the client's end`;
  };

  let fault: string | undefined;
  for (const step of steps) fault ??= await perform(step);
  socket.destroy();
  for (const one of await Promise.all(asides)) fault ??= one;
  return fault ?? (ear.broken === undefined ? undefined : `answered with ${ear.broken}`);
}

/** Sends a request that ends its connection; resolves to what was wrong with the answer. */
async function aside(port: number, request: string): Promise<string | undefined> {
  const socket = connect({ port, host: '127.0.0.1' });
  const ear = new Ear();
  socket.on('data', (chunk) => ear.hear(chunk));
  socket.on('error', () => {});
  socket.on('close', () => ear.close());
  socket.write(Buffer.from(request, 'latin1'));
  await ear.until(() => ear.isClosed, PATIENCE_MS);
  socket.destroy();
  if (ear.answers === 0) return `no answer to ${JSON.stringify(request)}`;
  return ear.broken === undefined ? undefined : `${ear.broken} to ${JSON.stringify(request)}`;
}
