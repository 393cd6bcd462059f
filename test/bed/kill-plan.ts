/**
 * Where to kill: a sweep of lanes, each a kind of point at which the process is ended at its first, second, third … passing.
 * Every point in the life of one message is taken; a quarter of the kills and what is left of them go further on, under load,
 * with messages of several chunks, and at random times. Where the budget is too small for every point at every moment, the
 * moments take turns: every point is still taken once.
 */
import type { Moment, Point } from './sudden-death.ts';

export type Database = 'sqlite' | 'postgres';

/** `start`: from the beginning of the process until it serves. `stream`: two sessions send until it ends. */
export type Workload = 'start' | 'one' | 'large' | 'stream';

export type Step =
  | {
      readonly type: 'point';
      readonly lane: Lane;
      readonly workload: Workload;
      readonly point: Point;
      readonly moment: Moment;
      readonly nth: number;
    }
  | { readonly type: 'time'; readonly lane: Lane; readonly afterMs: number };

interface Lane {
  readonly name: string;
  make: (nth: number) => Step;
  readonly first: number;
  readonly stride: number;
  /** No further than this. */
  readonly last: number;
  next: number;
  /** So many times as often as others. */
  readonly weight: number;
  turns: number;
  kills: number;
  furthest: number;
  /** A message has no point of this number any more. */
  end: number | undefined;
}

const IN_SQLITE: readonly (readonly [Point, readonly Moment[]])[] = [
  ['write', ['before', 'torn', 'cut']],
  ['sync', ['before', 'cut']],
];
const IN_POSTGRES: readonly (readonly [Point, readonly Moment[]])[] = [['query', ['before', 'torn', 'after']]];
const EVERYWHERE: readonly (readonly [Point, readonly Moment[]])[] = [
  ['reply', ['before', 'torn', 'cut']],
  ['upstream', ['before', 'torn', 'cut']],
];
/** One kill in so many is not in the life of a single message. */
const LOAD_EACH = 4;
/** What a process finds to do from the one before it makes more points than were counted. */
const MARGIN = 1.1;
/** Points of a kind in the life of one message from which on they are many. */
const MANY = 20;
const RANDOM_MS = 900;

/** How many points of each kind the life of one message has. */
export type PointCounts = Readonly<Record<Point, number>>;

export class KillPlan {
  readonly #kills: number;
  readonly #lanes: readonly Lane[][];
  /** Its steps are not in order: that one of them is too many says nothing of the next. */
  readonly #sampled: boolean;
  #done = 0;
  #underWay = 0;
  #turn = 0;

  private constructor(kills: number, lanes: Lane[][], sampled = false) {
    this.#sampled = sampled;
    this.#kills = kills;
    this.#lanes = lanes;
  }

  /** Every point in the life of one message, which has about so many, and what is left of `kills` under load. */
  static sweep(database: Database, kills: number, random: () => number, known: PointCounts): KillPlan {
    const points = pointsOf(database);
    const inside = points.filter(([point]) => point !== 'reply' && point !== 'upstream');
    const strides = [1, 2, 3];
    const strideOf = (point: Point, stride: number): number => (known[point] > MANY ? stride : 1);
    const lastOf = (point: Point): number => Math.ceil(known[point] * MARGIN);
    const cost = (stride: number): number =>
      points.reduce(
        (sum, [point, moments]) => sum + moments.length * Math.ceil(lastOf(point) / strideOf(point, stride)),
        0,
      );
    const stride = strides.find((one) => cost(one) <= kills * (1 - 1 / LOAD_EACH)) ?? 3;
    const one = points.flatMap(([point, moments]) =>
      moments.map((moment, at) => {
        const step = strideOf(point, stride);
        return laneOf('one', point, moment, { first: 1 + (at % step), stride: step, last: lastOf(point) });
      }),
    );
    const start = inside.map(([point]) =>
      laneOf('start', point, database === 'sqlite' ? 'cut' : 'before', { stride: database === 'sqlite' ? 3 : 7 }),
    );
    // From where the first messages are over and on, or half-way into the octets of a large one.
    const load = points.flatMap(([point, moments]) =>
      moments.flatMap((moment) => {
        const stride = Math.ceil(known[point] / 4);
        return [
          laneOf('stream', point, moment, { first: known[point] + 1, stride }),
          laneOf('large', point, moment, { first: Math.ceil(known[point] / 2), stride }),
        ];
      }),
    );
    return new KillPlan(kills, [
      [...one, ...start],
      [...load, timeLane(random)],
    ]);
  }

  /** `kills` points of the sweep, chosen at random: one of every lane before the second of any. */
  static sample(database: Database, kills: number, random: () => number, known: PointCounts): KillPlan {
    const lanes = pointsOf(database).flatMap(([point, moments]) =>
      moments.map((moment, at) => {
        const lane = laneOf(at % 2 === 0 ? 'one' : 'stream', point, moment);
        const { make } = lane;
        lane.make = () => make(1 + Math.floor(random() * known[point]));
        return lane;
      }),
    );
    const shuffled = [...lanes, timeLane(random)]
      .map((lane) => ({ lane, at: random() }))
      .toSorted((a, b) => a.at - b.at)
      .map(({ lane }) => lane);
    return new KillPlan(kills, [shuffled], true);
  }

  /** Undefined when the kills are done or on their way. */
  take(): Step | undefined {
    if (this.#done + this.#underWay >= this.#kills) return undefined;
    const open = this.#lanes
      .map((lanes) => lanes.filter(({ end, last, next }) => end === undefined && next <= last))
      .filter((lanes) => lanes.length > 0);
    const lanes = this.#turn++ % LOAD_EACH === 0 ? open.at(-1) : open[0];
    // Whoever had the fewest turns is next.
    const lane = lanes?.reduce((least, one) => (one.turns < least.turns ? one : least));
    if (!lane) return undefined;
    lane.turns += 1 / lane.weight;
    const step = lane.make(lane.next);
    lane.next += lane.stride;
    this.#underWay += 1;
    return step;
  }

  /** What became of a step: `survived` when the process never came to its point. */
  report(step: Step, result: 'killed' | 'survived'): void {
    const { lane } = step;
    this.#underWay -= 1;
    if (result === 'killed') {
      this.#done += 1;
      lane.kills += 1;
      if (step.type === 'point') lane.furthest = Math.max(lane.furthest, step.nth);
    } else if (step.type === 'point' && !this.#sampled) lane.end = Math.min(lane.end ?? Infinity, step.nth);
  }

  get kills(): number {
    return this.#done;
  }

  /** A line for every lane: kills, and how far it went. */
  summary(): readonly string[] {
    return this.#lanes
      .flat()
      .filter(({ kills }) => kills > 0)
      .map(({ name, kills, first, furthest, stride }) => {
        const each = stride === 1 ? 'every point' : `one point in ${stride}`;
        const reached = furthest === 0 ? '' : `, ${each} from number ${first} to ${furthest}`;
        return `${name}: ${kills} kills${reached}`;
      });
  }
}

function pointsOf(database: Database): readonly (readonly [Point, readonly Moment[]])[] {
  return [...(database === 'sqlite' ? IN_SQLITE : IN_POSTGRES), ...EVERYWHERE];
}

function laneOf(
  workload: Workload,
  point: Point,
  moment: Moment,
  { first = 1, stride = 1, last = Infinity } = {},
): Lane {
  const lane: Lane = {
    name: `${workload} ${point} ${moment}`,
    make: (nth) => ({ type: 'point', lane, workload, point, moment, nth }),
    first,
    stride,
    last,
    next: first,
    weight: 1,
    turns: 0,
    kills: 0,
    furthest: 0,
    end: undefined,
  };
  return lane;
}

/** How far it goes is a matter of time, not of points. */
function timeLane(random: () => number): Lane {
  const lane: Lane = {
    ...laneOf('stream', 'reply', 'before'),
    name: 'stream at a random time',
    weight: 4,
    make: () => ({ type: 'time', lane, afterMs: random() * RANDOM_MS }),
  };
  return lane;
}
