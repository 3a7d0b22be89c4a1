/** Tells a screen reader what is in view: politely, seldom, and only when it has changed. */

const PAUSE = 8000; // milliseconds: long enough to hear a few faces out, and then some peace

let lastText = "";
let lastTime = -Infinity;

/**
 * Say it at once: what the user asked for or must know.
 * @param {string} text
 */
export function announce(text) {
  lastText = text;
  lastTime = performance.now();
  const place = document.getElementById("announcer");
  if (place) place.textContent = text;
}

/**
 * Say it if nothing was said for a while and it is news: what changes many times a second.
 * @param {string} text
 */
export function mention(text) {
  if (text !== lastText && performance.now() - lastTime >= PAUSE) announce(text);
}
