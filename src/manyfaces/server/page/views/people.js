/** The People tab: who is known, and how somebody who agrees becomes known. */

import { addPhotos, calibrate, listPeople, removePerson, renamePerson } from "../service/service.js";
import { announce } from "../shell/announce.js";
import { asked, confirmed } from "../shell/dialogs.js";
import { make, partsOf, takeFiles } from "../shell/elements.js";
import { formatted, onLanguage, percent, say, word } from "../shell/words.js";
import { Booth } from "./booth.js";
import { showFault } from "./faults.js";
import { Tray } from "./tray.js";

/** @typedef {import("../types.js").Person} Person */

export class PeopleView {
  #parts = partsOf("people");
  #tray = new Tray(this.#parts.tray);
  #booth = new Booth(/** @type {any} */ (this.#parts));
  /** @type {Person[]} */
  #people = [];

  constructor() {
    const parts = this.#parts;
    takeFiles(parts.form, parts.files, (files) => files.forEach((file) => this.#tray.add(file, file.name)));
    parts.webcam.addEventListener("click", () => this.#openBooth());
    parts.closeWebcam.addEventListener("click", () => this.#closeBooth());
    parts.snap.addEventListener("click", async () => this.#tray.add(await this.#booth.snap(), word("people.snapshot")));
    parts.form.addEventListener("submit", (/** @type {Event} */ event) => this.#submit(event));
    parts.calibrate.addEventListener("click", () => this.#calibrate());
    onLanguage(() => this.#showPeople());
  }

  shown() {
    this.#refresh();
  }

  /** The camera is not left on where nobody sees it. */
  hidden() {
    this.#closeBooth();
  }

  async #refresh() {
    await this.#guarded(async () => {
      const { people, gallery } = await listPeople();
      this.#people = people;
      if (gallery?.threshold) say(this.#parts.calibrated, "people.calibrated", () => calibrated(gallery));
      if (gallery?.error) throw Object.assign(new Error(word("people.galleryFault")), { detail: gallery.error });
    });
    this.#showPeople();
  }

  #showPeople() {
    const { list, nobody, names } = this.#parts;
    list.replaceChildren(...this.#people.map((person) => this.#entry(person)));
    names.replaceChildren(...this.#people.map((person) => make("option", { value: person.name })));
    nobody.hidden = this.#people.length > 0;
  }

  /** @param {Person} person */
  #entry(person) {
    const { name } = person;
    const button = (/** @type {string} */ key, /** @type {() => void} */ act) =>
      make("button", { type: "button", class: "quiet", "aria-label": word(`${key}Of`, { name }), onclick: act }, word(key));
    return make(
      "li",
      {},
      make("span", { class: "grow" }, make("b", {}, name), " ", make("span", { class: "soft" }, described(person))),
      make(
        "span",
        {},
        button("people.more", () => this.#moreOf(name)),
        button("people.rename", () => this.#rename(name)),
        button("people.remove", () => this.#remove(name)),
      ),
    );
  }

  /** @param {string} name */
  #moreOf(name) {
    this.#parts.name.value = name;
    this.#parts.form.scrollIntoView({ block: "nearest" });
    this.#parts.files.focus();
  }

  /** @param {string} name */
  async #rename(name) {
    const to = await asked(word("people.renameOf", { name }), word("people.newName"), "people.rename", { value: name });
    if (to && to !== name) await this.#changed(() => renamePerson(name, to), word("people.renamed", { name, to }));
  }

  /** @param {string} name */
  async #remove(name) {
    const sure = await confirmed(word("people.removeOf", { name }), word("people.removeWarning", { name }), "people.remove");
    if (sure) await this.#changed(() => removePerson(name), word("people.removed", { name }));
  }

  /** @param {() => Promise<unknown>} change @param {string} said */
  async #changed(change, said) {
    if (await this.#guarded(change)) announce(said);
    const focused = document.activeElement;
    await this.#refresh();
    if (!focused?.isConnected) this.#parts.list.querySelector("button")?.focus(); // its entry is gone or another
  }

  async #calibrate() {
    this.#parts.calibrate.disabled = true;
    say(this.#parts.calibrated, "people.calibrating");
    const done = await this.#guarded(calibrate);
    this.#parts.calibrate.disabled = false;
    if (!done) say(this.#parts.calibrated, "people.calibrate.why");
    else await this.#refresh();
  }

  async #openBooth() {
    await this.#guarded(async () => {
      this.#parts.booth.hidden = false;
      await this.#booth.open();
      this.#parts.snap.focus();
    });
  }

  #closeBooth() {
    this.#booth.close();
    this.#parts.booth.hidden = true;
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const { name, consent, submit, said } = this.#parts;
    const missing = this.#missing();
    said.hidden = !missing;
    if (missing) {
      say(said, missing.key);
      missing.field.focus();
      return;
    }
    submit.disabled = true;
    await this.#guarded(() => this.#enrol(name.value.trim()));
    submit.disabled = false;
    consent.checked = false; // agreed to these photos, not to the next person's
  }

  /** What the form still lacks, and where. */
  #missing() {
    const { name, files, consent } = this.#parts;
    if (!name.value.trim()) return { key: "people.needsName", field: name };
    if (!this.#tray.photos.length) return { key: "people.needsPhotos", field: files };
    return consent.checked ? null : { key: "people.needsConsent", field: consent };
  }

  /** @param {string} name */
  async #enrol(name) {
    const { added, refused } = await addPhotos(name, this.#tray.photos);
    const { said } = this.#parts;
    said.hidden = false;
    said.replaceChildren(word("people.added", { count: added, name }), ...refused.map(refusal));
    if (!refused.length) {
      this.#tray.clear();
      this.#parts.name.value = "";
    }
    await this.#refresh();
  }

  /** Do it and show what fails; whether it went well. @param {() => Promise<unknown>} act */
  async #guarded(act) {
    try {
      showFault(this.#parts.fault, null);
      await act();
      return true;
    } catch (error) {
      showFault(this.#parts.fault, error);
      return false;
    }
  }
}

/** @param {{photo: string, reason: string}} refused */
function refusal({ reason }) {
  return make("span", { class: "refusal", lang: "en" }, reason);
}

/** @param {Person} person */
function described({ photos, consent }) {
  const parts = [word("people.photos", { count: photos })];
  if (consent?.expires) parts.push(word("people.expires", { date: consent.expires }));
  return parts.join(" · ");
}

/** @param {Record<string, any>} gallery */
function calibrated({ threshold, false_accept_rate: rate }) {
  return { threshold: formatted(threshold, { maximumFractionDigits: 2 }), rate: percent(rate) };
}
