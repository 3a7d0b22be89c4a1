/**
 * Finds a place for every label. In a crowd a label that would hide another face shrinks, moves, drops words, and at
 * last gives way: then the box still speaks. What a face was given last is tried first, so that labels do not jump.
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Rectangle */
/** @typedef {{key: number, box: Rectangle, texts: string[]}} Wanted `key` is the same for the same face over time */
/** @typedef {{key: number, text: string, size: number, place: Rectangle}} Label */
/** @typedef {(text: string, size: number) => number} Measure the width of a text in pixels */

const MAY_HIDE = 0.12; // the share of a neighbour's face that a label may cover
const FEW = 8; // up to so many faces, a label is worth more than a free view of the neighbour

export class LabelLayout {
  /** @type {Map<number, string>} the choice that each face was given last */
  #kept = new Map();

  /**
   * @param {Wanted[]} wanted
   * @param {{width: number, height: number, smallest: number}} room `smallest` letters that can be read, in pixels
   * @param {Measure} measure
   * @returns {Label[]}
   */
  place(wanted, room, measure) {
    /** @type {Label[]} */
    const labels = [];
    const kept = new Map();
    const largestFirst = [...wanted].sort((one, other) => area(other.box) - area(one.box));
    for (const face of largestFirst) {
      const others = wanted.filter((other) => other !== face).map((other) => other.box);
      const choice = this.#firstThatFits(face, others, labels, room, measure);
      if (!choice) continue;
      labels.push(choice.label);
      kept.set(face.key, choice.name);
    }
    this.#kept = kept;
    return labels;
  }

  /**
   * @param {Wanted} face @param {Rectangle[]} others @param {Label[]} placed
   * @param {{width: number, height: number, smallest: number}} room @param {Measure} measure
   */
  #firstThatFits(face, others, placed, room, measure) {
    const choices = [...candidates(face, room, measure)];
    const before = choices.findIndex((choice) => choice.name === this.#kept.get(face.key));
    if (before > 0) choices.unshift(...choices.splice(before, 1));
    const free = choices.filter(({ label }) => placed.every((other) => !overlap(label.place, other.place)));
    const polite = free.find(({ label }) => others.every((box) => overlap(label.place, box) <= MAY_HIDE * area(box)));
    return polite ?? (others.length < FEW ? free[0] : undefined);
  }
}

/**
 * @param {Wanted} face
 * @param {{width: number, height: number, smallest: number}} room
 * @param {Measure} measure
 * @returns {Generator<{name: string, label: Label}>}
 */
function* candidates(face, room, measure) {
  for (const [number, text] of face.texts.entries()) {
    for (const size of textSizes(face.box, room)) {
      const extent = { width: measure(text, size) + 0.7 * size, height: Math.round(1.45 * size) };
      if (extent.width > room.width) continue;
      for (const [where, place] of places(face.box, extent, room)) {
        yield { name: `${number} ${size === room.smallest} ${where}`, label: { key: face.key, text, size, place } };
      }
    }
  }
}

/** The size that suits the face, then the smallest that can be read.
 * @param {Rectangle} box @param {{smallest: number}} room */
function textSizes(box, { smallest }) {
  const suits = Math.round(Math.min(Math.max(0.16 * box.height, smallest), 1.5 * smallest));
  return suits === smallest ? [smallest] : [suits, smallest];
}

/**
 * Above the face, below it, and for a large face inside its upper edge; always in the picture.
 * @param {Rectangle} box @param {{width: number, height: number}} extent @param {{width: number, height: number}} room
 * @returns {Generator<[string, Rectangle]>}
 */
function* places(box, extent, room) {
  const gap = 4;
  const x = Math.min(Math.max(box.x - 2, 0), Math.max(room.width - extent.width, 0));
  const tops = /** @type {[string, number][]} */ ([
    ["above", box.y - gap - extent.height],
    ["below", box.y + box.height + gap],
    ["inside", Math.max(box.y + gap, 0)],
  ]);
  for (const [where, y] of tops) {
    const inPicture = y >= 0 && y <= room.height - extent.height;
    if (inPicture && (where !== "inside" || extent.height <= 0.25 * box.height)) yield [where, { x, y, ...extent }];
  }
}

/** @param {Rectangle} one @param {Rectangle} other */
function overlap(one, other) {
  const wide = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const high = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  return Math.max(0, wide) * Math.max(0, high);
}

/** @param {Rectangle} box */
function area(box) {
  return box.width * box.height;
}
