import { html } from 'hono/html';

/** What the front page tells; all of it may be known by everybody. */
export interface FrontPage {
  /** Where the server is for the reader: `https://wall.example.com`. */
  readonly origin: string;
  readonly rooms: readonly {
    readonly name: string;
    readonly title: string | undefined;
    readonly connections: number;
  }[];
  /** When each schedule of these rooms sends next, RFC 3339; null: not at the moment. */
  readonly schedules: readonly { readonly name: string; readonly next: string | null }[];
  /** When this was so, RFC 3339. */
  readonly time: string;
  /** Paths of the style, the icon and the picture, relative to the page. */
  readonly files: { readonly style: string; readonly icon: string; readonly picture: string };
}

/** The text of the front page. What stands in it is escaped by the template. */
export async function frontPageText(page: FrontPage): Promise<string> {
  const { origin, rooms, schedules, time, files } = page;
  const room = rooms[0]?.name ?? 'lobby';
  const address = `${origin}/rooms/${room}`;
  const total = rooms.reduce((sum, { connections }) => sum + connections, 0);
  return String(
    await html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Belfry</title>
  <link rel="icon" href="${files.icon}" type="image/svg+xml">
  <link rel="stylesheet" href="${files.style}">
</head>
<body>
  <header>
    <h1><img src="${files.icon}" alt="" width="40" height="40"> Belfry</h1>
    <p class="lead">This server sends the time, and other values, to every room on a schedule.</p>
    <p class="facts"><strong>${schedules.length}</strong> ${plural('schedule', schedules.length)} ·
      <strong>${rooms.length}</strong> open ${plural('room', rooms.length)} ·
      <strong>${total}</strong> ${plural('listener', total)}</p>
  </header>
  <main>
    <section aria-labelledby="rooms">
      <h2 id="rooms">Rooms</h2>
      ${rooms.length === 0 ? html`<p>No room is open to everybody.</p>` : html`<ul class="rooms">${rooms.map(roomItem)}</ul>`}
    </section>
    <section aria-labelledby="next">
      <h2 id="next">Next ticks</h2>
      ${
        schedules.length === 0
          ? html`<p>Nothing is sent to these rooms.</p>`
          : html`<table>
        <thead><tr><th scope="col">Schedule</th><th scope="col">Next, UTC</th></tr></thead>
        <tbody>${schedules.map(scheduleRow)}</tbody>
      </table>`
      }
      <p class="asof">As of <time datetime="${time}">${timeOfDay(time)} UTC</time></p>
    </section>
    <figure>
      <a href="rooms/${room}"><img src="${files.picture}" alt="A wall display: the time across the whole screen, values and a message below it" width="1280" height="720"></a>
      <figcaption>Open a room on a screen: it is a display that keeps itself up to date.</figcaption>
    </figure>
    <section aria-labelledby="listen" class="listen">
      <h2 id="listen">Listen</h2>
      <dl>
        <dt>On a screen</dt>
        <dd><code>${address}</code></dd>
        <dt>In a page</dt>
        <dd><pre tabindex="0"><code>import { connect } from '${origin}/client.js';

const belfry = connect('${origin}', { rooms: ['${room}'] });
belfry.on('tick', ({ tick, data }) => console.log(tick.schedule, data));</code></pre></dd>
        <dt>Over WebSocket</dt>
        <dd><code>${address.replace(/^http/, 'ws')}</code></dd>
        <dt>As a stream of server-sent events</dt>
        <dd><code>curl -N -H 'Accept: text/event-stream' ${address}</code></dd>
        <dt>As JSON</dt>
        <dd><code>curl ${address}</code></dd>
      </dl>
      <p><a href="openapi.yaml">All calls, as OpenAPI</a></p>
    </section>
  </main>
</body>
</html>
`,
  );
}

function roomItem({ name, title, connections }: FrontPage['rooms'][number]) {
  return html`<li><a href="rooms/${name}">${title ?? name}</a> <span>${connections} ${plural('listener', connections)}</span></li>`;
}

function scheduleRow({ name, next }: FrontPage['schedules'][number]) {
  const when =
    next === null
      ? 'paused, or over'
      : html`<time datetime="${next}">${next.slice(0, 10)} ${timeOfDay(next)}</time>`;
  return html`<tr><th scope="row">${name}</th><td>${when}</td></tr>`;
}

/** Of an instant of RFC 3339, in whole seconds. */
function timeOfDay(instant: string): string {
  return instant.slice(11, 19);
}

function plural(noun: string, count: number): string {
  return count === 1 ? noun : `${noun}s`;
}
