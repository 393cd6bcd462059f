/** What is taken in the order it came: each in the same time, however many wait. An array moves all that are left. */

/** Those taken are let go of when they are half of all, and at least so many. */
const MIN_TAKEN = 64;

export class InTurn<T> {
  #items: T[] = [];
  #taken = 0;

  get length(): number {
    return this.#items.length - this.#taken;
  }

  /** The next one. */
  get first(): T | undefined {
    return this.#items[this.#taken];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.first;
    if (this.#taken < this.#items.length) this.#taken += 1;
    if (this.#taken === this.#items.length) {
      this.#items.length = 0;
      this.#taken = 0;
    } else if (this.#taken >= MIN_TAKEN && this.#taken * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#taken);
      this.#taken = 0;
    }
    return item;
  }
}
