import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { Origins } from '../../src/access/origins.ts';
import { hostCheck } from '../../src/http-app.ts';
import { problemResponse } from '../../src/transport/problem.ts';

describe('hostCheck', () => {
  it.each([
    ['localhost:8080', 200],
    ['evil.example', 421],
  ])('lets requests to %s pass, or not: %i', async (host, status) => {
    const origins = new Origins({ host: '127.0.0.1', allowedOrigins: ['*'] });
    const app = new Hono();
    app.onError(problemResponse);
    app.use('/admin/*', hostCheck({ current: { origins } }));
    app.get('/admin/rooms', (c) => c.text('rooms'));
    app.get('/livez', (c) => c.text('ok'));
    expect((await app.request('/admin/rooms', { headers: { host } })).status).toBe(status);
    expect((await app.request('/livez', { headers: { host } })).status).toBe(200);
  });
});
