import { isObject } from './document.ts';

/**
 * What messages offer where something else stands, or nothing: by its place, without positions in
 * lists. Each is accepted there as it is, which a test holds them to.
 */
export const EXAMPLES: Readonly<Record<string, string>> = {
  server: '{"port":8080}',
  'server.publicUrl': '"https://wall.example.com"',
  'server.allowedOrigins': '["https://wall.example.com"]',
  'server.allowedOrigins.[]': '"https://wall.example.com"',
  'server.trustProxy': '["127.0.0.1"]',
  'server.trustProxy.[]': '"127.0.0.1"',
  admin: '{"tokens":[]}',
  'admin.tokens.[].name': '"ops"',
  rooms: '[{"match":"lobby"}]',
  'rooms.[]': '{"match":"lobby"}',
  'rooms.[].match': '"lobby"',
  schedules: '[{"name":"clock","every":"3s","feed":{"type":"time"}}]',
  'schedules.[]': '{"name":"clock","every":"3s","feed":{"type":"time"}}',
  'schedules.[].name': '"clock"',
  'schedules.[].cron': '"*/5 * * * *"',
  'schedules.[].timezone': '"Europe/Berlin"',
  'schedules.[].rooms': '["lobby"]',
  'schedules.[].rooms.[]': '"lobby"',
  'schedules.[].event': '"news"',
  'schedules.[].feed': '{"type":"time"}',
  'schedules.[].feed.argv': '["uptime","-p"]',
  'schedules.[].feed.headers': '{"accept":"application/json"}',
  'schedules.[].feed.url': '"https://prices.example.com/now.json"',
  'schedules.[].feed.path': '"prices.json"',
  limits: '{"connections":1000}',
};

/**
 * Rules for rooms that were written by name, `{"lobby":{}}`, as a list: `[{"match":"lobby"}]`.
 * Undefined for what is no object.
 */
export function unkeyed(input: unknown): unknown {
  if (!isObject(input)) return undefined;
  return Object.entries(input).map(([match, rule]) => ({ match, ...Object(rule) }));
}
