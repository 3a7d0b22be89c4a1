/** The sign that analysis is running, on every tab: nobody should be looked at without seeing so. */

import { say, listed, onLanguage, word } from "./words.js";

const NAME = "manyfaces";
/** @type {Set<string>} */
const running = new Set();

/**
 * Say that something began or ended.
 * @param {"live" | "pictures" | "video" | "booth"} what
 * @param {boolean} active
 */
export function activity(what, active) {
  if (active) running.add(what);
  else running.delete(what);
  show();
}

function show() {
  const sign = /** @type {HTMLElement} */ (document.getElementById("running"));
  const words = /** @type {HTMLElement} */ (document.getElementById("running-words"));
  sign.hidden = running.size === 0;
  document.title = running.size ? `● ${NAME}` : NAME;
  if (running.size) say(words, "running", () => ({ what: listed([...running].map((what) => word(`running.${what}`))) }));
}

onLanguage(show);
