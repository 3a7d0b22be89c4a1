/**
 * Where faces are now. Results come some time after their frame, and fewer of them than the display has frames: a
 * box is carried on by its speed for as long as its result is old, and what is shown slides towards that.
 */

/** @typedef {import("../types.js").Face} Face */
/** @typedef {Face & {fade: number}} Shown `fade` falls from 1 to 0 after the face has gone */
/** @typedef {{face: Face, box: number[], speed: number[], seen: number, shown: number[], gone: number | null}} Mover */

const LONGEST_CARRY = 250; // milliseconds; a guess that is older does more harm than a box that lags
const SLIDE = 45; // milliseconds in which two thirds of a difference are made up
const FADE = 180;
const TRUST_IN_NEW_SPEED = 0.4; // detections tremble by a pixel; their speed must not

export class Motion {
  /** @type {Map<number, Mover>} */
  #movers = new Map();
  #drawn = 0;

  /**
   * Take a result in.
   * @param {Face[]} faces
   * @param {number} sent when its frame was taken, in milliseconds
   * @param {number} now
   */
  see(faces, sent, now) {
    const here = new Set(faces.map((face) => face.track));
    for (const [track, mover] of this.#movers) {
      if (here.has(track)) continue;
      if (faces.some((face) => isSamePlace(face.box, mover.box))) this.#movers.delete(track); // it has a new number
      else mover.gone ??= now;
    }
    for (const face of faces) this.#movers.set(face.track, moved(this.#movers.get(face.track), face, sent));
  }

  forget() {
    this.#movers.clear();
  }

  /**
   * All faces as they should be drawn now.
   * @param {number} now
   * @param {boolean} calm no fading, for those who asked for less movement
   * @returns {Shown[]}
   */
  at(now, calm = false) {
    const part = 1 - Math.exp(-Math.max(0, now - this.#drawn) / SLIDE);
    this.#drawn = now;
    /** @type {Shown[]} */
    const shown = [];
    for (const [track, mover] of this.#movers) {
      const fade = mover.gone === null ? 1 : calm ? 0 : 1 - (now - mover.gone) / FADE;
      if (fade <= 0) {
        this.#movers.delete(track);
        continue;
      }
      const aim = carried(mover, now);
      mover.shown = mover.shown.map((edge, side) => edge + (aim[side] - edge) * part);
      shown.push({ ...mover.face, box: mover.shown, fade });
    }
    return shown;
  }
}

/** @param {Mover | undefined} before @param {Face} face @param {number} sent @returns {Mover} */
function moved(before, face, sent) {
  if (!before) return { face, box: face.box, speed: [0, 0, 0, 0], seen: sent, shown: [...face.box], gone: null };
  const time = sent - before.seen;
  const speed = time > 0 ? before.speed.map((old, side) => blended(old, (face.box[side] - before.box[side]) / time)) : before.speed;
  return { face, box: face.box, speed, seen: sent, shown: before.shown, gone: null };
}

/** Whether two boxes overlap by more than a third of what they cover together.
 * @param {number[]} one @param {number[]} other */
function isSamePlace(one, other) {
  const wide = Math.max(0, Math.min(one[2], other[2]) - Math.max(one[0], other[0]));
  const high = Math.max(0, Math.min(one[3], other[3]) - Math.max(one[1], other[1]));
  return 3 * wide * high > area(one) + area(other) - wide * high;
}

/** @param {number[]} box */
function area([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

/** @param {number} old @param {number} fresh */
function blended(old, fresh) {
  return old + (fresh - old) * TRUST_IN_NEW_SPEED;
}

/** @param {Mover} mover @param {number} now */
function carried(mover, now) {
  const ahead = Math.min(Math.max(0, now - mover.seen), LONGEST_CARRY);
  return mover.box.map((edge, side) => edge + mover.speed[side] * ahead);
}
