/** The random transcripts of response.property.test.ts, fifty thousand of each kind (`npm run soak`). */
import process from 'node:process';

process.env['POSTERN_SOAK_RUNS'] = '50000';
await import('./response.property.test.ts');
