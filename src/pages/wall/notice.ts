import { members } from '../../client/messages.ts';
import { httpUrl, imageUrl, textOf } from './values.ts';

export const LEVELS = ['info', 'success', 'warning', 'critical'] as const;

/** A message as the wall shows it. */
export interface Notice {
  readonly title: string;
  readonly text: string;
  readonly level: (typeof LEVELS)[number];
  readonly link: URL | undefined;
  readonly image: URL | undefined;
}

const MAX_CHARACTERS = 600;

/**
 * Reads the data of a message: `{title?, text, level?, link?, image?}`; a string is the text, and of anything else
 * each member is a line. What is not as it should be is left out.
 */
export function noticeOf(data: unknown, page: URL): Notice {
  const { title, text, level, link, image } = members(data);
  const isNotice = [title, text].some((each) => typeof each === 'string') || image !== undefined;
  return {
    title: isNotice && typeof title === 'string' ? cut(title) : '',
    text: cut(isNotice ? (typeof text === 'string' ? text : '') : plainText(data)),
    level: LEVELS.find((each) => each === level) ?? 'info',
    link: isNotice ? httpUrl(link, page) : undefined,
    image: isNotice ? imageUrl(image, page) : undefined,
  };
}

/** A link as a reader may type it: without the scheme. */
export function linkWords({ host, pathname, search }: URL): string {
  return `${host}${pathname === '/' ? '' : pathname}${search}`;
}

function plainText(data: unknown): string {
  if (typeof data === 'string') return data;
  if (Array.isArray(data)) return data.map(textOf).join('\n');
  if (typeof data !== 'object' || data === null) return textOf(data);
  return Object.entries(data)
    .map(([name, value]) => `${name}: ${textOf(value)}`)
    .join('\n');
}

function cut(text: string): string {
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
