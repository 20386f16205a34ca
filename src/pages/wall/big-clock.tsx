import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { spanWords } from './age.ts';
import { ClockText, type TimeStyle, zoneWords } from './clock-text.ts';

/** Above it the page says that the time may be wrong. */
const MAX_ERROR_MS = 1000;

interface BigClockProps {
  readonly timezone: string;
  readonly style: TimeStyle;
  readonly nowMs: number;
  readonly errorMs: number;
  readonly isLive: boolean;
}

/** The time on the server's clock, as wide as the screen. */
export function BigClock({ timezone, style: { locale, hourCycle }, nowMs, errorMs, isLive }: BigClockProps) {
  const text = useMemo(() => new ClockText(timezone, { locale, hourCycle }), [timezone, locale, hourCycle]);
  const { time, dayPeriod, date } = text.face(nowMs);
  const isKnown = errorMs < Number.POSITIVE_INFINITY;
  // All digits are as wide as a zero.
  const shape = time.replace(/\p{Nd}/gu, '0');
  const face = useRef<HTMLTimeElement>(null);
  useLayoutEffect(() => {
    const element = face.current;
    if (!element) return;
    // How many times its font size the time is wide: the style sheet makes it fill the screen.
    const size = Number.parseFloat(getComputedStyle(element).fontSize);
    if (size > 0) element.style.setProperty('--ratio', String(element.offsetWidth / size));
  }, [shape, dayPeriod, isKnown, isLive]);
  return (
    <section class={`clock${isLive && isKnown ? '' : ' old'}`} aria-label="Time">
      <p class="face">
        <time ref={face} dateTime={isKnown ? new Date(nowMs).toISOString() : ''} role="timer">
          {isKnown ? time : shape.replaceAll('0', '–')}
          {dayPeriod && <span class="period"> {dayPeriod}</span>}
        </time>
      </p>
      <p class="date">
        <span lang={locale}>{isKnown ? date : ' '}</span>
        <span class="zone">{zoneWords(timezone)}</span>
        {isKnown && errorMs > MAX_ERROR_MS && (
          <span class="bound">may be off by {spanWords(Math.ceil(errorMs / 1000) * 1000)}</span>
        )}
      </p>
    </section>
  );
}
