/** What the address of a room's page says. */
export interface RoomAddress {
  /** Of the page. */
  readonly page: URL;
  /** Of the server's folder. */
  readonly server: URL;
  readonly rooms: readonly string[];
  readonly device: string | undefined;
  readonly token: string | undefined;
  readonly transport: 'websocket' | 'sse' | 'auto';
}

/** Reads `/rooms/{room}` or `/rooms?room=a&room=b`, also behind a path prefix. */
export function roomAddress(page: URL): RoomAddress {
  const { searchParams } = page;
  const [, prefix = '/', name] = /^(.*\/)rooms(?:\/([^/]+))?$/.exec(page.pathname) ?? [];
  const transport = searchParams.get('transport');
  return {
    page,
    server: new URL(prefix, page),
    rooms: name === undefined ? searchParams.getAll('room') : [decodeURIComponent(name)],
    device: searchParams.get('device') || undefined,
    token: searchParams.get('access_token') ?? undefined,
    transport: transport === 'websocket' || transport === 'sse' ? transport : 'auto',
  };
}
