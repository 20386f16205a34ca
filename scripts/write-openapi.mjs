// Writes openapi.yaml from the routes' declarations; needs a build.
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { openApiDocument } from '../dist/admin/openapi.js';

const yaml = stringify(openApiDocument(), { lineWidth: 100, aliasDuplicateObjects: false });
writeFileSync(new URL('../openapi.yaml', import.meta.url), yaml);
