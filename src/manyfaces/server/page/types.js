/**
 * What the server says, as types for the reader and the type checker. Nothing here runs.
 *
 * @typedef {object} Face One face of a row.
 * @property {number} track
 * @property {number[]} box x1, y1, x2, y2 in pixels of the frame that was sent
 * @property {number} score
 * @property {number[][]} landmarks
 * @property {string | null} emotion
 * @property {Record<string, number>} emotions
 * @property {number | null} emotion_confidence
 * @property {string | null} identity
 * @property {number | null} identity_confidence
 * @property {number | null} similarity null where nobody was compared with
 *
 * @typedef {object} Row One frame.
 * @property {string} stream
 * @property {number} index
 * @property {number} seconds
 * @property {number} width
 * @property {number} height
 * @property {Face[]} faces
 * @property {string} [error]
 *
 * @typedef {Row & {sent: number, dropped?: number}} LiveRow A row of the live stream; `sent` is the time we gave.
 *
 * @typedef {object} Advice What the server says of a picture that somebody might be enrolled from.
 * @property {number} faces how many there are
 * @property {number[] | null} box of the main one
 * @property {boolean} good
 * @property {string[]} advice sentences, in English
 * @property {string[]} [codes] the same as words for programs
 *
 * @typedef {object} Person
 * @property {string} name
 * @property {number} photos
 * @property {string} [added]
 * @property {{given?: string | null, expires?: string | null}} [consent]
 */
export {};
