/** The moments of a video worth jumping to: first appearances, changes of expression, the strongest expression. */

/** @typedef {import("./story.js").PersonStory} PersonStory */
/** @typedef {{seconds: number, kind: "first" | "change" | "strongest", person: PersonStory, emotion: string | null}} Moment */

const LEAST_LENGTH = 0.5; // seconds that an expression must last on both sides to count as a change
const MOST = 60;
const WORTH = { first: 0, strongest: 1, change: 2 };

/**
 * In the order of time. Where there are too many, changes go first and brief people before others.
 * @param {PersonStory[]} people the most important first
 * @returns {Moment[]}
 */
export function momentsOf(people) {
  const all = people.flatMap((person, rank) => ofPerson(person).map((moment) => ({ moment, rank })));
  const chosen = all
    .sort((one, other) => WORTH[one.moment.kind] - WORTH[other.moment.kind] || one.rank - other.rank)
    .slice(0, MOST);
  return chosen.map(({ moment }) => moment).sort((one, other) => one.seconds - other.seconds);
}

/** @param {PersonStory} person @returns {Moment[]} */
function ofPerson(person) {
  const first = person.segments[0];
  /** @type {Moment[]} */
  const moments = [{ seconds: first.start, kind: "first", person, emotion: first.emotion }, ...changes(person)];
  if (person.peak) moments.push({ ...person.peak, kind: "strongest", person });
  return moments;
}

/** @param {PersonStory} person @returns {Moment[]} */
function changes(person) {
  const steady = person.segments.filter((segment) => segment.emotion && segment.end - segment.start >= LEAST_LENGTH);
  return steady
    .filter((segment, at) => at > 0 && segment.emotion !== steady[at - 1].emotion)
    .map((segment) => ({ seconds: segment.start, kind: "change", person, emotion: segment.emotion }));
}
