/** The element of the page with this id. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** A new element. What it says is text, whatever stands in it: nothing here makes markup. */
export function element(tag: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

/** Puts an item first in a list and removes the last above `max`: a page stays open for months. */
export function addFirst(list: HTMLElement, item: HTMLElement, max: number): void {
  list.prepend(item);
  while (list.childElementCount > max) list.lastElementChild?.remove();
}
