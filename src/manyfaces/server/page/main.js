/** Where the page begins: language, appearance, then a view for each tab. */

import { runTabs } from "./shell/tabs.js";
import { runTheme } from "./shell/theme.js";
import { keepLanguage, preferredLanguage, speak } from "./shell/words.js";
import { LiveView } from "./views/live.js";
import { PeopleView } from "./views/people.js";
import { PicturesView } from "./views/pictures.js";
import { SystemView } from "./views/system.js";
import { VideoView } from "./views/video.js";

const themeSelect = /** @type {HTMLSelectElement} */ (document.getElementById("theme"));
const languageSelect = /** @type {HTMLSelectElement} */ (document.getElementById("language"));

runTheme(themeSelect);
languageSelect.value = preferredLanguage();
languageSelect.addEventListener("change", async () => {
  await speak(languageSelect.value);
  keepLanguage(languageSelect.value);
});
await speak(languageSelect.value);

const tabs = /** @type {HTMLElement} */ (document.querySelector('[role="tablist"]'));
/** @type {Record<string, any>} */
const views = {
  live: new LiveView(),
  pictures: new PicturesView(),
  video: new VideoView(),
  people: new PeopleView(),
  system: new SystemView(),
};
runTabs(tabs, views);
document.documentElement.dataset.ready = ""; // everything can be worked with now: tests wait for it
