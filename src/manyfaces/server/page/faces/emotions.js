/** The colours of expressions, the same as in annotated pictures and reports, and of people who are told apart. */

/** Okabe and Ito's palette, made to be told apart by colour-blind people too: https://jfly.uni-koeln.de/color/ */
const EMOTION_COLOURS = /** @type {Record<string, string>} */ ({
  angry: "#d55e00",
  disgust: "#009e73",
  fear: "#cc79a7",
  happy: "#f0e442",
  sad: "#0072b2",
  surprise: "#e69f00",
  neutral: "#56b4e9",
});
const MORE_COLOURS = ["#8c564b", "#9467bd", "#bcbd22", "#e377c2"];
export const UNKNOWN = "#6e6e6e";

/** Light, lively colours: black letters on any of them keep a contrast of 7 and more. */
const TRACK_COLOURS = [
  "#7cc8ff", "#ffd166", "#8ce99a", "#ff9eb5", "#d0bfff", "#ffb077",
  "#66e0d5", "#e6ee6b", "#f5a3ff", "#a5d8ff", "#ffc9a3", "#b2f2bb",
];

export const EMOTIONS = Object.keys(EMOTION_COLOURS);

/** @param {string | null} emotion */
export function emotionColour(emotion) {
  if (emotion === null) return UNKNOWN;
  const sum = [...new TextEncoder().encode(emotion)].reduce((total, byte) => total + byte, 0);
  return EMOTION_COLOURS[emotion] ?? MORE_COLOURS[sum % MORE_COLOURS.length];
}

/** @param {number} track */
export function trackColour(track) {
  return TRACK_COLOURS[Math.abs(track) % TRACK_COLOURS.length];
}

/**
 * Black or white, whichever stands out more on a colour: the luminance where both do equally, by WCAG 2's formula.
 * @param {string} colour as #rrggbb
 */
export function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}
