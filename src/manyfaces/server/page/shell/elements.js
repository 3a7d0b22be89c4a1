/** Small things for making and finding elements, so that views read as what they show. */

/**
 * Make an element. Keys that begin with "on" become listeners, others attributes; null, undefined and false leave out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * The parts of a panel by their names: `<b data-part="all-json">` becomes `parts.allJson`.
 * @param {string} panelId
 * @returns {{panel: HTMLElement} & Record<string, any>}
 */
export function partsOf(panelId) {
  const panel = /** @type {HTMLElement} */ (document.getElementById(panelId));
  const named = [...panel.querySelectorAll("[data-part]")].map((part) => [
    camelCase(/** @type {HTMLElement} */ (part).dataset.part ?? ""),
    part,
  ]);
  return { panel, ...Object.fromEntries(named) };
}

/** @param {string} text */
function camelCase(text) {
  return text.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
}

/**
 * A coloured square beside a word; it repeats what the word says, so nobody has to see it.
 * @param {string} colour
 */
export function swatch(colour) {
  const square = make("i", { class: "swatch", "aria-hidden": "true" });
  square.style.backgroundColor = colour;
  return square;
}

/**
 * Let files be chosen, dropped or both. The input itself stays in the tab order; its label is the drop zone.
 * @param {HTMLElement} zone
 * @param {HTMLInputElement} input
 * @param {(files: File[]) => void} take
 */
export function takeFiles(zone, input, take) {
  input.addEventListener("change", () => {
    take([...(input.files ?? [])]);
    input.value = ""; // so that the same file can be chosen again
  });
  const lit = (/** @type {DragEvent} */ event, /** @type {boolean} */ over) => {
    event.preventDefault();
    zone.classList.toggle("over", over);
  };
  zone.addEventListener("dragover", (event) => lit(event, true));
  zone.addEventListener("dragleave", (event) => lit(event, false));
  zone.addEventListener("drop", (event) => {
    lit(event, false);
    take([...(event.dataTransfer?.files ?? [])]);
  });
}

/**
 * Offer a file for saving.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // the browser needs it until the saving has begun
}

/** @param {string} text @param {string} name @param {string} type */
export function saveText(text, name, type) {
  save(new Blob([text], { type: `${type};charset=utf-8` }), name);
}

/**
 * Call at most once in so many milliseconds; the last call is never lost.
 * @param {() => void} act
 * @param {number} milliseconds
 */
export function throttled(act, milliseconds) {
  let waiting = false;
  let last = -Infinity;
  const run = () => {
    waiting = false;
    last = performance.now();
    act();
  };
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(run, Math.max(0, last + milliseconds - performance.now()));
  };
}
