const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const;

/** A time span in words, in its largest unit, cut off: "12 seconds", "1 minute", "3 days". */
export function spanWords(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, each]) => ms >= each) ?? ['second', 1000];
  const count = Math.max(Math.floor(ms / unitMs), 0);
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** How long ago something was: "just now", "12 seconds ago". */
export function ageWords(ms: number): string {
  // Below that the clocks of sender and screen may differ.
  return ms < 3000 || Number.isNaN(ms) ? 'just now' : `${spanWords(ms)} ago`;
}
