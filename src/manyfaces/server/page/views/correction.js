/** "That is not who you think": the right person gets the crop as one more photo, or the face is marked as unknown. */

import { addPhotos, Fault, listPeople } from "../service/service.js";
import { announce } from "../shell/announce.js";
import { answer, ask } from "../shell/dialogs.js";
import { make } from "../shell/elements.js";
import { word } from "../shell/words.js";

/** @typedef {{name: string | null}} Correction whose face it is after all; null for a stranger */

/**
 * Ask who it is and tell the gallery.
 * @param {Blob} crop the face, with enough around it to be found again
 * @param {string} shownAs
 * @returns {Promise<Correction | null>} null when nothing is to be changed
 */
export async function correct(crop, shownAs) {
  const { people } = await listPeople();
  const picture = URL.createObjectURL(crop);
  const name = nameField(people.map((person) => person.name));
  const agreed = make("input", { type: "checkbox", required: true });
  const content = [
    make("img", { src: picture, alt: word("correct.crop"), class: "crop" }),
    make("p", {}, word("correct.shownAs", { name: shownAs })),
    make("label", { class: "field" }, make("span", {}, word("correct.person")), ...name.nodes),
    make("label", { class: "check consent" }, agreed, make("span", {}, word("people.consent"))),
  ];
  // Marking as unknown needs neither a name nor consent: nothing is kept.
  const buttons = [answer("cancel", ""), answer("correct.unknown", "unknown"), answer("correct.save", "save", "primary")];
  const chosen = await ask(word("correct.title"), content, buttons);
  URL.revokeObjectURL(picture);
  if (chosen === "unknown") return { name: null };
  return chosen === "save" ? enrolled(name.input.value.trim(), crop) : null;
}

/** @param {string[]} names */
function nameField(names) {
  const list = make("datalist", { id: "correction-names" }, ...names.map((name) => make("option", { value: name })));
  const input = make("input", { type: "text", list: list.id, required: true, maxlength: 200, autofocus: true, autocomplete: "off" });
  return { input, nodes: [input, list] };
}

/** @param {string} name @param {Blob} crop @returns {Promise<Correction>} */
async function enrolled(name, crop) {
  const { added, refused } = await addPhotos(name, [crop]);
  if (!added) throw new Fault(word("people.added", { count: 0, name }), refused.map((each) => each.reason).join(" "));
  announce(word("correct.saved", { name }));
  return { name };
}
