/**
 * Each way to make a gateway hold more than it should, with as many connections as one address may have: a sixtieth of
 * POSTERN_SOAK_MINUTES each, a minute unless told otherwise.
 */
import { testEachLoad } from '../bed/each-load.ts';

const minutes = Number(process.env['POSTERN_SOAK_MINUTES'] ?? 60);

testEachLoad(2500, minutes * 1000);
