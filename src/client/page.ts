/** What a browser has and Node has not. */
interface Page {
  readonly location?: { readonly href: string };
  readonly document?: { readonly visibilityState: string } & Target;
  readonly addEventListener?: Target['addEventListener'];
}

interface Target {
  addEventListener(name: string, listener: () => void, options: { readonly signal: AbortSignal }): void;
}

// In a browser it is all of that.
const page = globalThis as Page;

/** An address, in a page also a relative one, with a path that ends with a slash; `ws:` is taken as `http:`. */
export function baseOf(url: string | URL): URL {
  const base = new URL(String(url).replace(/^ws/, 'http'), page.location?.href);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}

/** Calls back when the network is back, or the page can be seen again. */
export function onReturn(listener: (isOnline: boolean) => void, signal: AbortSignal): void {
  page.addEventListener?.('online', () => listener(true), { signal });
  page.document?.addEventListener(
    'visibilitychange',
    () => {
      if (page.document?.visibilityState === 'visible') listener(false);
    },
    { signal },
  );
}
