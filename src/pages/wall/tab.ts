import closed from '../icon-closed.svg';
import late from '../icon-late.svg';
import live from '../icon-live.svg';
import lost from '../icon-lost.svg';
import type { StateName } from './wall-state.ts';

/** Beside the script, under their hashed names. */
const ICONS: Readonly<Record<StateName, string>> = { live, late, lost, closed };

const MARKS: Readonly<Record<StateName, string>> = { live: '', late: '△ ', lost: '✕ ', closed: '■ ' };

/** Shows the state of the wall in the title and the icon of its tab, and to signage systems. */
export function showInTab(state: StateName, title: string): void {
  const { dataset } = document.documentElement;
  const text = `${MARKS[state]}${title} · ${state}`;
  if (document.title !== text) document.title = text;
  const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
  const href = new URL(ICONS[state], import.meta.url).href;
  if (icon && icon.href !== href) icon.href = href;
  dataset.state = state;
}
