/** Light, dark, or as the device is set. */

const KEPT = "manyfaces.theme";

/** @param {HTMLSelectElement} select */
export function runTheme(select) {
  select.value = localStorage.getItem(KEPT) ?? "auto";
  const wear = () => {
    document.documentElement.dataset.theme = select.value;
    localStorage.setItem(KEPT, select.value);
  };
  select.addEventListener("change", wear);
  wear();
}

/** Whether the user asked for less movement. Asked each time: the setting may change while the page is open. */
export function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
