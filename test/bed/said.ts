/** What programs print or answer as JSON, read by its shape: another one fails the test where it is read. */
import { z } from 'zod';

export function said<Shape extends z.ZodRawShape>(text: string, shape: Shape): z.output<z.ZodObject<Shape>> {
  return z.object(shape).parse(JSON.parse(text));
}
