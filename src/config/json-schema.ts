import { z } from 'zod';
import type { FeedKind } from '../feed/feed.ts';
import { configSchema } from './schema.ts';

/** The schema of the config file for editors (JSON Schema, draft 2020-12). */
export function configJsonSchema(feedKinds: readonly FeedKind[]): object {
  const schema = z.toJSONSchema(configSchema({ feedKinds, env: {} }), {
    io: 'input',
    target: 'draft-2020-12',
  });
  return {
    ...schema,
    title: 'Belfry',
    description: 'The configuration of Belfry, a server-push broadcaster.',
  };
}

/** The text of `belfry.schema.json`. */
export function configJsonSchemaText(feedKinds: readonly FeedKind[]): string {
  return `${JSON.stringify(configJsonSchema(feedKinds), null, 2)}\n`;
}
