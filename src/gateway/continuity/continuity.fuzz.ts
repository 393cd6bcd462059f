/** The random play of continuity.property.test.ts, two thousand times (`npm run soak`). */
import process from 'node:process';

process.env['POSTERN_SOAK_RUNS'] = '2000';
await import('./continuity.property.test.ts');
