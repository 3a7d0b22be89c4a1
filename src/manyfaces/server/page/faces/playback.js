/** The rows of a video, found again by time, with faces moved between the rows. */

/** @typedef {import("../types.js").Row} Row */
/** @typedef {import("../types.js").Face} Face */

const LONGEST_STEP = 0.5; // seconds between rows that a face may be moved through

export class Playback {
  /** @type {Row[]} */
  rows = [];

  /** @param {Row} row */
  add(row) {
    this.rows.push(row);
  }

  /**
   * The faces at a time; none where the rows have not reached it yet.
   * @param {number} seconds
   * @returns {{row: Row, faces: Face[]} | null}
   */
  at(seconds) {
    const next = firstAfter(this.rows, seconds);
    const row = this.rows[next - 1];
    if (!row || (next === this.rows.length && seconds - row.seconds > LONGEST_STEP)) return null;
    const after = this.rows[next];
    if (!after || after.seconds - row.seconds > LONGEST_STEP) return { row, faces: row.faces };
    const part = (seconds - row.seconds) / (after.seconds - row.seconds);
    const later = new Map(after.faces.map((face) => [face.track, face.box]));
    return { row, faces: row.faces.map((face) => ({ ...face, box: between(face.box, later.get(face.track), part) })) };
  }
}

/** @param {Row[]} rows @param {number} seconds */
function firstAfter(rows, seconds) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].seconds <= seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {number[]} box @param {number[] | undefined} later @param {number} part */
function between(box, later, part) {
  return later ? box.map((edge, side) => edge + (later[side] - edge) * part) : box;
}
