/** Metrics of one registry, most of them in a line. */
import { Counter, Gauge, type GaugeConfiguration, Histogram, type Registry } from 'prom-client';

export function metricsIn(registry: Registry) {
  const registers = [registry];
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: readonly Label[]) =>
      new Counter({ name, help, labelNames, registers }),
    gauge: <Label extends string>(
      name: string,
      help: string,
      more: Pick<GaugeConfiguration<Label>, 'labelNames' | 'aggregator' | 'collect'> = {},
    ) => new Gauge({ ...more, name, help, registers }),
    histogram: <Label extends string>(name: string, help: string, buckets: number[], ...labelNames: readonly Label[]) =>
      new Histogram({ name, help, labelNames, buckets, registers }),
  };
}
