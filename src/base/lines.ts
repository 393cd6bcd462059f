/** Lines of a text without those that do not apply: `lines('a', condition && 'b', condition && ['c', 'd'])`. */
export function lines(...all: readonly (string | readonly string[] | false | undefined)[]): readonly string[] {
  return all.flatMap((one) => (one === false || one === undefined ? [] : one));
}
