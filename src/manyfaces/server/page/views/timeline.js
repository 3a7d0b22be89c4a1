/** The timeline: a row per person, coloured bands for expressions, and a click leads into the video. */

import { bands, ticks } from "../charts.js";
import { emotionColour } from "../faces/emotions.js";
import { make } from "../shell/elements.js";
import { clock, emotionWord, listed, word } from "../shell/words.js";

/** @typedef {import("../faces/story.js").PersonStory} PersonStory */
/** @typedef {import("../faces/story.js").Segment} Segment */

const MOST_TICKS = 6;
const MOST_TOLD = 3;

/** @param {PersonStory} person */
export function personName(person) {
  return person.name ?? word("face.numbered", { number: person.number });
}

/**
 * @param {PersonStory[]} people
 * @param {number} span of the video in seconds
 * @param {(seconds: number) => void} jump
 * @returns {HTMLElement[]}
 */
export function timeline(people, span, jump) {
  return people.length ? [...people.map((person) => personRow(person, span, jump)), axis(span)] : [];
}

/** @param {PersonStory} person @param {number} span @param {(seconds: number) => void} jump */
function personRow(person, span, jump) {
  const name = personName(person);
  const parts = person.segments.map((segment) => ({ ...segment, colour: emotionColour(segment.emotion), label: told(segment) }));
  const chart = bands(parts, span, word("video.timelineOf", { name, what: mostly(person.segments) }));
  // Keyboard and screen reader have the list of moments; here a pointer may go to any place.
  chart.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const place = chart.getBoundingClientRect();
    jump(((event.clientX - place.left) / place.width) * span);
  });
  return make("div", { class: "timeline-row" }, make("span", { class: "timeline-name", title: name }, name), chart);
}

/** @param {Segment} segment */
function told(segment) {
  const what = segment.emotion ? emotionWord(segment.emotion) : word("video.inSight");
  return `${what}, ${clock(segment.start)} – ${clock(segment.end)}`;
}

/** The expressions that took most of the time. @param {Segment[]} segments */
function mostly(segments) {
  /** @type {Map<string, number>} */
  const lengths = new Map();
  for (const { emotion, start, end } of segments) {
    if (emotion) lengths.set(emotion, (lengths.get(emotion) ?? 0) + end - start);
  }
  const ordered = [...lengths].sort((one, other) => other[1] - one[1]).slice(0, MOST_TOLD);
  return listed(ordered.map(([emotion]) => emotionWord(emotion)));
}

/** @param {number} span */
function axis(span) {
  const marks = ticks(span, MOST_TICKS).map((seconds) => {
    const mark = make("span", {}, clock(seconds).replace(/\.0$/, ""));
    mark.style.left = `${(100 * seconds) / span}%`;
    if (seconds > 0.94 * span) mark.className = "last";
    return mark;
  });
  return make("div", { class: "timeline-row", "aria-hidden": "true" }, make("span"), make("div", { class: "axis" }, ...marks));
}
