/** Seconds of each way to make a gateway hold more than it should; minutes of each are in the soak. */
import { testEachLoad } from '../bed/each-load.ts';

testEachLoad(600, 3000);
