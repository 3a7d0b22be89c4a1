/** Charts as SVG, just the three kinds that the page needs. Words come from the caller; colours too. */

const NAMESPACE = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...SVGElement} children
 * @returns {any}
 */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {number} value */
function short(value) {
  return String(Math.round(value * 100) / 100);
}

/**
 * A line over time, without axes: for a figure that stands beside it.
 * @param {(number | null)[]} values the newest last
 * @param {number} places how many values fill the width
 * @param {string} label what a screen reader says
 */
export function sparkline(values, places, label) {
  const highest = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const offset = places - values.length;
  const point = (/** @type {number} */ value, /** @type {number} */ at) =>
    `${short(((offset + at) / Math.max(1, places - 1)) * 200)},${short(38 - (value / highest) * 34)}`;
  const known = values.flatMap((value, at) => (value === null ? [] : [point(value, at)]));
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 200 40", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("polyline", { points: known.join(" "), fill: "none", "vector-effect": "non-scaling-stroke" }),
  );
}

/**
 * One bar that shows shares.
 * @param {{share: number, colour: string, label: string}[]} parts
 * @param {string} label
 */
export function stackedBar(parts, label) {
  let left = 0;
  const rectangles = parts.map((part) => {
    const place = { x: short(1000 * left), width: short(1000 * part.share), height: 10, fill: part.colour };
    left += part.share;
    return titled(svg("rect", place), part.label);
  });
  return bar(label, rectangles);
}

/**
 * Coloured bands over a length of time.
 * @param {{start: number, end: number, colour: string, label: string}[]} bands
 * @param {number} span of the whole
 * @param {string} label
 */
export function bands(bands, span, label) {
  const rectangles = bands.map((band) => {
    const x = Math.min((1000 * band.start) / span, 998.5);
    const width = Math.max((1000 * (band.end - band.start)) / span, 1.5); // a moment must be seen too
    return titled(svg("rect", { x: short(x), width: short(width), height: 10, fill: band.colour }), band.label);
  });
  return bar(label, rectangles);
}

/** @param {string} label @param {SVGElement[]} inside */
function bar(label, inside) {
  const attributes = { class: "bar-chart", viewBox: "0 0 1000 10", preserveAspectRatio: "none" };
  return svg("svg", { ...attributes, role: "img", "aria-label": label }, ...inside);
}

/** @param {SVGElement} element @param {string} words */
function titled(element, words) {
  const title = svg("title", {});
  title.textContent = words;
  element.append(title);
  return element;
}

/**
 * Times along the bands: round steps, at most so many.
 * @param {number} span in seconds
 * @param {number} most
 */
export function ticks(span, most) {
  const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const step = steps.find((each) => span / each <= most) ?? 14400;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, at) => at * step);
}
