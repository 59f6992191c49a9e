// Fetches the page again every two seconds and swaps what changed; keeps still while somebody selects text.
"use strict";

const INTERVAL_MS = 2000;

async function refresh() {
  if (document.hidden || !document.getSelection().isCollapsed) return;
  try {
    const response = await fetch("/", { cache: "no-store" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
    const shown = document.getElementById("live");
    if (fresh && fresh.innerHTML !== shown.innerHTML) shown.replaceWith(document.adoptNode(fresh));
  } catch {
    // the simulator is gone: keep what was shown and try again
  }
}

setInterval(refresh, INTERVAL_MS);
