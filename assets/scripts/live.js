// Keeps parts of the page fresh. `GET /live` is a stream of events `changed` whose data is a topic; an element
// with data-live="topic topic" is fetched again from its data-live-src and morphed when one of its topics
// changes. The answer is the element itself, or a whole page that holds an element with the same id.
// The topic "everything" stands for all of them: the server says it when it has lost track of this page.
// data-live-gone says what to do at 404: "remove" the element, or the address to go to.
import { fetchPage } from "./fetch-page.js";
import { morph } from "./morph.js";

const STREAM_URL = "/live";
/** Shortest time between two fetches of one element. */
const REFRESH_INTERVAL_MILLISECONDS = 400;
const RECONNECT_FIRST_MILLISECONDS = 1_000;
const RECONNECT_MAX_MILLISECONDS = 30_000;
const EVERYTHING = "everything";
const NOT_FOUND = 404;
const GONE = 410;

/** Per element: is a fetch under way, was another asked for meanwhile, when was the last. */
const states = new WeakMap();
let reconnectMilliseconds = RECONNECT_FIRST_MILLISECONDS;
let stream = null;

export function startLive() {
  if (!("EventSource" in window) || !document.querySelector("[data-live]")) return;
  connect(false);
  // A page kept in the back-forward cache must not keep its line, and must catch up when it returns.
  window.addEventListener("pagehide", () => stream?.close());
  window.addEventListener("pageshow", (event) => event.persisted && connect(true));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("[data-live]")) {
      if (states.get(element)?.stale) refresh(element);
    }
  });
}

function connect(isAgain) {
  stream = new EventSource(STREAM_URL);
  stream.addEventListener("open", () => {
    reconnectMilliseconds = RECONNECT_FIRST_MILLISECONDS;
    document.documentElement.dataset.liveState = "open";
    // What happened while the line was down is not told again, so everything is looked at.
    if (isAgain) for (const element of document.querySelectorAll("[data-live]")) refresh(element);
  });
  stream.addEventListener("changed", (event) => changed(event.data.trim()));
  stream.addEventListener("error", () => {
    stream.close();
    document.documentElement.dataset.liveState = "closed";
    // Spread, so that a restarted server is not met by all browsers in the same moment.
    const wait = reconnectMilliseconds * (0.5 + Math.random());
    reconnectMilliseconds = Math.min(reconnectMilliseconds * 2, RECONNECT_MAX_MILLISECONDS);
    setTimeout(() => connect(true), wait);
  });
}

function changed(topic) {
  for (const element of document.querySelectorAll("[data-live]")) {
    if (topic === EVERYTHING || element.dataset.live.split(/\s+/).includes(topic)) refresh(element);
  }
}

/** Fetches and morphs one element: at most one fetch at a time; calls meanwhile become one more at the end. */
async function refresh(element) {
  const state = states.get(element) ?? { busy: false, stale: false, last: 0 };
  states.set(element, state);
  state.stale = true;
  if (state.busy || document.hidden || !element.dataset.liveSrc) return;
  state.busy = true;
  while (state.stale && element.isConnected && !document.hidden) {
    const wait = state.last + REFRESH_INTERVAL_MILLISECONDS - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    state.stale = false;
    state.last = Date.now();
    try {
      apply(element, await fetchPage(element.dataset.liveSrc));
    } catch {
      break; // The stream notices when the server is away, and everything is fetched after.
    }
  }
  state.busy = false;
}

function apply(element, { status, redirected, page }) {
  if (!element.isConnected) return;
  if (status === NOT_FOUND || status === GONE) {
    const { liveGone } = element.dataset;
    if (liveGone === "remove") element.remove();
    else if (liveGone) location.assign(liveGone);
    return;
  }
  if (redirected) {
    location.reload(); // Signed out meanwhile: the reload leads to the sign-in page.
    return;
  }
  if (status !== 200 || !page) return;
  const wanted = (element.id && page.querySelector(`#${CSS.escape(element.id)}`)) || page.firstElementChild;
  if (wanted?.matches("[data-live]")) morph(element, wanted);
}
