/** Results a second, their age, and what was dropped: over the last few seconds, so that the figures can be read. */

const WINDOW = 3000; // milliseconds

export class Meter {
  /** @type {{at: number, age: number}[]} */
  #seen = [];
  #dropped = 0;

  /** @param {number} now @param {{sent: number, dropped?: number}} row */
  see(now, row) {
    this.#seen.push({ at: now, age: now - row.sent });
    this.#dropped += row.dropped ?? 0;
  }

  /** @param {number} now */
  figures(now) {
    this.#seen = this.#seen.filter((each) => now - each.at < WINDOW);
    const ages = this.#seen.map((each) => each.age).sort((one, other) => one - other);
    const first = this.#seen[0]?.at ?? now;
    const rate = this.#seen.length > 1 ? ((this.#seen.length - 1) * 1000) / Math.max(1, now - first) : 0;
    return { rate, latency: ages[ages.length >> 1] ?? null, dropped: this.#dropped };
  }
}
