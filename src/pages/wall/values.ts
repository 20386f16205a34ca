import { members } from '../../client/messages.ts';

/** How a card shows a value. */
export type Shown =
  | { readonly kind: 'number'; readonly number: number; readonly unit: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'link'; readonly url: URL }
  | { readonly kind: 'image'; readonly url: URL }
  | {
      readonly kind: 'table';
      /** Names of the columns; none where the first cell of a row names it. */
      readonly columns: readonly string[];
      readonly rows: readonly (readonly string[])[];
      /** Rows that are not shown. */
      readonly left: number;
    };

const MAX_ROWS = 6;
const MAX_COLUMNS = 4;
const MAX_CELL_CHARACTERS = 60;

/** "21.5 °C", "-3 %", "€ 12" is text: the unit comes behind, and is short. */
const NUMBER_WITH_UNIT = /^([+-]?\d{1,15}(?:\.\d{1,15})?)\s?([^\s\d]\S{0,7})?$/;
const IMAGE = /\.(?:avif|gif|jpe?g|png|svg|webp)$/i;

/** Chooses how to show the data of a tick. `page`: the address of the page; only its own origin may hold images. */
export function shownValue(data: unknown, page: URL): Shown {
  if (typeof data === 'number') return { kind: 'number', number: data, unit: '' };
  if (typeof data === 'string') return shownString(data.trim(), page);
  if (Array.isArray(data)) return listTable(data);
  const { value, unit, text, url, ...rest } = members(data);
  if (typeof value === 'number') return { kind: 'number', number: value, unit: textOf(unit ?? '') };
  const isAlone = Object.keys(rest).length === 0;
  if (typeof text === 'string' && isAlone && value === undefined) return { kind: 'text', text };
  if (typeof url === 'string' && isAlone) return shownString(url, page);
  if (typeof data === 'object' && data !== null) {
    return table(Object.entries(data).map(([name, each]) => [name, textOf(each)]));
  }
  return { kind: 'text', text: textOf(data) };
}

/** An address that a page may link to; relative ones are meant from the page's. `undefined`: it is none. */
export function httpUrl(text: unknown, page: URL): URL | undefined {
  if (typeof text !== 'string' || !URL.canParse(text, page.href)) return undefined;
  const url = new URL(text, page.href);
  return /^https?:$/.test(url.protocol) ? url : undefined;
}

/** The same for an image: the page's policy lets it load those of its own origin alone. */
export function imageUrl(text: unknown, page: URL): URL | undefined {
  const url = httpUrl(text, page);
  return url?.origin === page.origin ? url : undefined;
}

/** A value in one line. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return '–';
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text.length > MAX_CELL_CHARACTERS ? `${text.slice(0, MAX_CELL_CHARACTERS)}…` : text;
}

function shownString(text: string, page: URL): Shown {
  const [, number, unit = ''] = NUMBER_WITH_UNIT.exec(text) ?? [];
  if (number !== undefined) return { kind: 'number', number: Number(number), unit };
  const url = /^(?:https?:\/\/|\/)\S+$/.test(text) ? httpUrl(text, page) : undefined;
  if (!url) return { kind: 'text', text };
  return IMAGE.test(url.pathname) && imageUrl(text, page) ? { kind: 'image', url } : { kind: 'link', url };
}

/** Rows of objects get a column for each name; other items one each. */
function listTable(items: readonly unknown[]): Shown {
  const columns = [...new Set(items.flatMap((item) => Object.keys(members(item))))].slice(0, MAX_COLUMNS);
  const isObjects = items.length > 0 && items.every((item) => !Array.isArray(item) && item === Object(item));
  if (!isObjects) return table(items.map((item) => [textOf(item)]));
  return table(
    items.map((item) => columns.map((name) => textOf(members(item)[name]))),
    columns,
  );
}

function table(rows: readonly (readonly string[])[], columns: readonly string[] = []): Shown {
  if (rows.length === 0) return { kind: 'text', text: '–' };
  return { kind: 'table', columns, rows: rows.slice(0, MAX_ROWS), left: Math.max(rows.length - MAX_ROWS, 0) };
}
