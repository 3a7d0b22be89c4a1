/** The tabs: the ARIA pattern, with the chosen tab in the address so that it can be linked, kept and gone back to. */

/** @typedef {{shown?: () => void, hidden?: () => void}} View what a tab's view may want to know */

/**
 * @param {HTMLElement} list the tablist
 * @param {Record<string, View>} views by the panel's id
 */
export function runTabs(list, views) {
  const tabs = /** @type {HTMLAnchorElement[]} */ ([...list.querySelectorAll('[role="tab"]')]);
  let current = "";

  const choose = () => {
    const wished = location.hash.slice(1);
    const next = wished in views ? wished : current || "live"; // the skip link leads to no tab
    if (next === current) return;
    views[current]?.hidden?.();
    current = next;
    for (const tab of tabs) show(tab, tab.hash === `#${next}`);
    views[current].shown?.();
  };

  list.addEventListener("keydown", (event) => {
    const next = neighbour(tabs, event.key);
    if (!next) return;
    event.preventDefault();
    history.replaceState(null, "", next.hash);
    next.focus();
    choose();
  });
  // The address is changed by hand: following the link would scroll to the panel and take the focus there.
  for (const tab of tabs) {
    tab.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // wanted in another tab or window
      event.preventDefault();
      history.pushState(null, "", tab.hash);
      choose();
    });
  }
  addEventListener("hashchange", choose);
  addEventListener("popstate", choose);
  choose();
}

/** @param {HTMLAnchorElement} tab @param {boolean} chosen */
function show(tab, chosen) {
  tab.setAttribute("aria-selected", String(chosen));
  tab.tabIndex = chosen ? 0 : -1;
  const panel = document.getElementById(tab.hash.slice(1));
  if (panel) panel.hidden = !chosen;
  if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/**
 * The tab that a key leads to from the one that has the focus.
 * @param {HTMLAnchorElement[]} tabs
 * @param {string} key
 */
function neighbour(tabs, key) {
  const here = tabs.indexOf(/** @type {HTMLAnchorElement} */ (document.activeElement));
  if (here < 0) return undefined;
  if (key === "ArrowRight") return tabs[(here + 1) % tabs.length];
  if (key === "ArrowLeft") return tabs[(here - 1 + tabs.length) % tabs.length];
  if (key === "Home") return tabs[0];
  return key === "End" ? tabs[tabs.length - 1] : undefined;
}
