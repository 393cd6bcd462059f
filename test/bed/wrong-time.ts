/** The ways in which time goes wrong, and what lives through them. */
import type { ManualClock } from './manual-clock.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export const SHAPES = ['a day ahead, then back', 'a day back', 'asleep for a day', 'stopped for three days'] as const;
export type Shape = (typeof SHAPES)[number];

/** What a subject does before, and while the time is wrong; what must hold afterwards. */
export interface Life {
  /** Runs until the time goes wrong; for a clock ahead, while it is. */
  act(): Promise<void>;
  /** The process ends and starts again. */
  restart?(): Promise<void>;
  holds(shape: Shape): Promise<void>;
}

export async function live(clock: ManualClock, shape: Shape, life: Life): Promise<void> {
  switch (shape) {
    case 'a day ahead, then back':
      clock.jump(DAY);
      await life.act();
      clock.jump(-DAY);
      break;
    case 'a day back':
      await life.act();
      clock.jump(-DAY);
      break;
    case 'asleep for a day':
      await life.act();
      clock.jump(DAY, 'asleep');
      break;
    case 'stopped for three days':
      await life.act();
      await life.restart?.();
      break;
  }
  await life.holds(shape);
}
