/** Reads the figures that the server gives to Prometheus: as much of the format as a chart needs. */

/** @typedef {{name: string, labels: Record<string, string>, value: number}} Sample */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * @param {string} text
 * @returns {Sample[]}
 */
export function parseMetrics(text) {
  return text.split("\n").flatMap((line) => {
    const match = line.startsWith("#") ? null : LINE.exec(line);
    if (!match) return [];
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    return [{ name: match[1], labels, value: Number(match[3]) }];
  });
}

/**
 * The sum of all samples of a name, or null where there are none.
 * @param {Sample[]} samples
 * @param {string} name
 * @param {Record<string, string>} [labels] that a sample must have
 */
export function total(samples, name, labels = {}) {
  const mine = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  return mine.length ? mine.reduce((sum, sample) => sum + sample.value, 0) : null;
}
