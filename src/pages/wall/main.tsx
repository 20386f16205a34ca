import './wall.css';
import { render } from 'preact';
import { roomAddress } from './address.ts';
import { keepScreen, toggleFullScreen } from './screen.ts';
import { showInTab } from './tab.ts';
import { View, wallTitle } from './view.tsx';
import { Wall } from './wall.ts';
import { wallState } from './wall-state.ts';

/** The wall display of the rooms that the address names. */

const picture = document.getElementById('wall');
if (!picture) throw new Error('the page has no #wall');
const wall = new Wall(roomAddress(new URL(location.href)), () => changed());

let isPlanned = false;
let cancelTick = setTimeout(show);

/** Shows all changes of one moment together. */
function changed(): void {
  if (isPlanned) return;
  isPlanned = true;
  queueMicrotask(show);
}

/** Shows the wall, again when the next second begins on the server's clock. */
function show(): void {
  isPlanned = false;
  clearTimeout(cancelTick);
  const { client } = wall;
  const state = wallState(client.state, client.schedules.values(), wall.heardMs);
  showInTab(state.name, wallTitle(wall));
  document.documentElement.dataset.theme = wall.style?.theme ?? 'auto';
  if (picture) render(<View wall={wall} state={state} />, picture);
  cancelTick = setTimeout(show, 1000 - (client.now() % 1000) + 1);
}

addEventListener('keydown', ({ key, ctrlKey, altKey, metaKey }) => {
  if (ctrlKey || altKey || metaKey) return;
  if (key === 'f') void toggleFullScreen();
  if (key === 'i') document.querySelector<HTMLAnchorElement>('a.inspect')?.click();
});
keepScreen(picture);
