/** What a video tells, gathered as its rows come: who was in sight when, and what their faces showed. */

/** @typedef {import("../types.js").Row} Row */
/** @typedef {import("../types.js").Face} Face */
/** @typedef {{start: number, end: number, emotion: string | null}} Segment */
/** @typedef {{seconds: number, emotion: string, confidence: number}} Peak */
/** @typedef {{key: string, name: string | null, number: number, segments: Segment[], sightings: number, peak: Peak | null}} PersonStory */
/** @typedef {{track: number, segments: Segment[], sightings: number, names: Map<string, number>, peak: Peak | null}} Track */

const LONGEST_GAP = 1; // seconds that a face may be unseen without a gap in its timeline
const LEAST_SIGHTINGS = 3; // what was seen less often, in more than a few frames, was a false alarm
const FEW_FRAMES = 10;

export class Story {
  /** @type {Map<number, Track>} */
  #tracks = new Map();
  frames = 0;
  end = 0;

  /** @param {Row} row */
  see(row) {
    this.frames += 1;
    this.end = Math.max(this.end, row.seconds);
    for (const face of row.faces) seeFace(this.#track(face.track), row.seconds, face);
  }

  /** @param {number} number @returns {Track} */
  #track(number) {
    const track = this.#tracks.get(number) ?? { track: number, segments: [], sightings: 0, names: new Map(), peak: null };
    this.#tracks.set(number, track);
    return track;
  }

  /** Named people first, then by how long they were in sight; all tracks of one name are one person. */
  people() {
    /** @type {Map<string, PersonStory>} */
    const people = new Map();
    for (const track of this.#tracks.values()) {
      if (this.frames > FEW_FRAMES && track.sightings < LEAST_SIGHTINGS) continue;
      const name = commonest(track.names);
      const key = name ? `name ${name}` : `track ${track.track}`;
      people.set(key, joined(people.get(key), track, name, key));
    }
    return [...people.values()].sort(
      (one, other) => Number(!one.name) - Number(!other.name) || inSight(other.segments) - inSight(one.segments),
    );
  }
}

/** @param {Track} track @param {number} seconds @param {Face} face */
function seeFace(track, seconds, face) {
  track.sightings += 1;
  const name = face.identity ?? "";
  track.names.set(name, (track.names.get(name) ?? 0) + 1);
  lengthen(track.segments, seconds, face.emotion);
  const confidence = face.emotion_confidence ?? 0;
  const striking = face.emotion && face.emotion !== "neutral" && confidence > (track.peak?.confidence ?? 0);
  if (striking) track.peak = { seconds, emotion: /** @type {string} */ (face.emotion), confidence };
}

/** @param {Segment[]} segments @param {number} seconds @param {string | null} emotion */
function lengthen(segments, seconds, emotion) {
  const last = segments.at(-1);
  const goesOn = last && seconds - last.end <= LONGEST_GAP;
  if (goesOn) last.end = seconds;
  if (!goesOn || last.emotion !== emotion) segments.push({ start: seconds, end: seconds, emotion });
}

/** The name it had most often; a face is a stranger only if it never had one. @param {Map<string, number>} names */
function commonest(names) {
  const named = [...names].filter(([name]) => name).sort((one, other) => other[1] - one[1]);
  return named.length ? named[0][0] : null;
}

/** @param {PersonStory | undefined} person @param {Track} track @param {string | null} name @param {string} key @returns {PersonStory} */
function joined(person, track, name, key) {
  if (!person) return { key, name, number: track.track, segments: [...track.segments], sightings: track.sightings, peak: track.peak };
  const segments = coalesced([...person.segments, ...track.segments].sort((one, other) => one.start - other.start));
  const peak = (track.peak?.confidence ?? 0) > (person.peak?.confidence ?? 0) ? track.peak : person.peak;
  return { ...person, segments, sightings: person.sightings + track.sightings, peak };
}

/** One segment for those that touch and show the same: a person's new track goes on where the old one ended.
 * @param {Segment[]} segments @returns {Segment[]} */
function coalesced(segments) {
  /** @type {Segment[]} */
  const whole = [];
  for (const segment of segments) {
    const last = whole.at(-1);
    const goesOn = last && last.emotion === segment.emotion && segment.start - last.end <= LONGEST_GAP;
    if (goesOn) whole[whole.length - 1] = { ...last, end: Math.max(last.end, segment.end) };
    else whole.push(segment);
  }
  return whole;
}

/** @param {Segment[]} segments */
function inSight(segments) {
  return segments.reduce((total, segment) => total + segment.end - segment.start, 0);
}
