// Writes belfry.schema.json from the config schema; needs a build.
import { writeFileSync } from 'node:fs';
import { configJsonSchemaText } from '../dist/config/schema.js';
import { feedKinds } from '../dist/feed/kinds.js';

writeFileSync(new URL('../belfry.schema.json', import.meta.url), configJsonSchemaText(feedKinds));
