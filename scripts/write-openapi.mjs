// Writes openapi.yaml from the routes' declarations; needs a build.
import { writeFileSync } from 'node:fs';
import { openApiYaml } from '../dist/admin/openapi.js';

writeFileSync(new URL('../openapi.yaml', import.meta.url), openApiYaml());
