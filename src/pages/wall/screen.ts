const CURSOR_MS = 3000;
const SHIFT_MS = 60_000;
/** Where the picture stands, in pixels, minute after minute: no edge stays in one place for long. */
const SHIFTS = [
  [0, 0],
  [3, 1],
  [4, 4],
  [1, 5],
  [-3, 3],
  [-4, 0],
  [-3, -4],
  [1, -3],
] as const;

/** What a screen needs that hangs on a wall for months: it stays on, shows no cursor, and does not burn in. */
export function keepScreen(picture: HTMLElement): void {
  void stayAwake();
  document.addEventListener('visibilitychange', () => void stayAwake());
  hideCursor();
  let shift = 0;
  setInterval(() => {
    shift = (shift + 1) % SHIFTS.length;
    const [x, y] = SHIFTS[shift] ?? SHIFTS[0];
    picture.style.transform = `translate(${x}px, ${y}px)`;
  }, SHIFT_MS);
}

/** Full screen, or out of it. */
export async function toggleFullScreen(): Promise<void> {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await document.documentElement.requestFullscreen();
  } catch {
    // The browser does not allow it here, as in some frames.
  }
}

/** Browsers give the lock up while the page is hidden. */
async function stayAwake(): Promise<void> {
  try {
    if (document.visibilityState === 'visible') await navigator.wakeLock?.request('screen');
  } catch {
    // No right to it, or the battery is low.
  }
}

function hideCursor(): void {
  const { classList } = document.documentElement;
  let timer = setTimeout(() => classList.add('idle'), CURSOR_MS);
  const show = () => {
    classList.remove('idle');
    clearTimeout(timer);
    timer = setTimeout(() => classList.add('idle'), CURSOR_MS);
  };
  for (const name of ['pointermove', 'pointerdown', 'keydown'])
    addEventListener(name, show, { passive: true });
}
