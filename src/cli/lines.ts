import { StringDecoder } from 'node:string_decoder';

/** Far above what a server accepts: input without an end of line must not fill the memory. */
const MAX_LINE_CHARACTERS = 1024 * 1024;

/**
 * Reads a stream line by line. Empty lines are left out, and a line of more than a million characters comes in
 * pieces. An input that cannot be read, such as a folder, counts as ended. The returned function stops
 * reading and leaves the stream paused.
 */
export function onLines(input: NodeJS.ReadableStream, onLine: (line: string) => void): () => void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const emit = (line: string) => {
    const text = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (text !== '') onLine(text);
  };
  const onData = (chunk: Buffer | string) => {
    rest += typeof chunk === 'string' ? chunk : decoder.write(chunk);
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) emit(line);
    if (rest.length > MAX_LINE_CHARACTERS) onEnd();
  };
  const onEnd = () => {
    emit(rest + decoder.end());
    rest = '';
  };
  input.on('data', onData);
  input.on('end', onEnd);
  input.on('error', onEnd);
  return () => {
    input.off('data', onData);
    input.off('end', onEnd);
    // Not the listener for errors: without one a late error would end the process.
    input.pause();
  };
}
