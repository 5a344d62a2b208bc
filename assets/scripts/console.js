// The page of a console: asks for a one-time address, connects, and says in a sentence why there is nothing to
// see. What draws is in console-screen.js and console-serial.js. It is its own file, for it is large.
import { openScreen } from "./console-screen.js";
import { openSerial } from "./console-serial.js";

const SUBPROTOCOL = "binary";
const PASTE_CHARACTERS_MAX = 4096;
const WORDS = {
  closed: ["Closed", "pill-quiet"],
  connecting: ["Connecting…", "pill-work"],
  connected: ["Connected", "pill-good"],
};
const LOST = "The connection was lost. Your network or the platform may have been away for a moment.";
const NOT_REACHED = "The platform could not be reached. Check your network and try again.";

const page = document.querySelector("[data-console]");
const part = (name) => page.querySelector(`[data-console-${name}]`);
const [state, word, view, cover, said, sentence, paste] =
  ["state", "word", "view", "cover", "said", "sentence", "paste"].map(part);
const notice = document.getElementById("console-notice");
const kinds = [...page.querySelectorAll("button[data-console-kind]")];
let kind = page.dataset.kind;
/** The console on the page, and a number that tells an old one's last words from a new one's. */
let open = null;
let attempt = 0;

function show(name) {
  const [text, colour] = WORDS[name];
  page.dataset.state = name;
  word.textContent = text;
  state.className = `pill ${colour}`;
  state.firstElementChild.classList.toggle("pulse", name === "connecting");
  const isOpen = name === "connected";
  cover.hidden = isOpen;
  for (const button of page.querySelectorAll("[data-console-do=paste], [data-console-do=ctrl-alt-del]")) {
    button.disabled = !isOpen || (button.dataset.consoleDo === "ctrl-alt-del" && kind !== "screen");
  }
}

function close(text) {
  attempt += 1;
  open?.end();
  open = null;
  view.replaceChildren();
  sentence.textContent = text ?? "";
  said.hidden = !text;
  show("closed");
}

/** Asks for an address that opens the console once; throws the server's sentence when there is none. */
async function address() {
  const form = new URLSearchParams({ csrf: page.dataset.csrf, kind, reason: page.dataset.reason });
  let answer;
  try {
    answer = await fetch(page.dataset.ticketUrl, { method: "POST", body: form });
  } catch {
    throw new Error(NOT_REACHED);
  }
  if (answer.status === 401) throw new Error("You were logged out. Log in and open the console again.");
  const isJson = answer.headers.get("content-type")?.includes("json");
  const body = isJson ? await answer.json() : {};
  if (!answer.ok) throw new Error(body.detail ?? "The console could not be opened. Reload the page and try again.");
  return body;
}

async function connect() {
  close();
  attempt += 1;
  const mine = attempt;
  show("connecting");
  let found;
  try {
    found = await address();
  } catch (error) {
    if (mine === attempt) close(error.message);
    return;
  }
  if (mine !== attempt) return;
  const serial = kinds.find((button) => button.dataset.consoleKind === "serial");
  serial.hidden = !found.has_serial;
  const url = new URL(found.url, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, [SUBPROTOCOL]);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("close", (event) => mine === attempt && close(event.reason || LOST));
  const draw = kind === "serial" ? openSerial : openScreen;
  open = draw(view, socket, () => {
    if (mine !== attempt) return;
    show("connected");
    open.focus();
  });
}

function choose(chosen) {
  kind = chosen;
  for (const button of kinds) button.setAttribute("aria-pressed", String(button.dataset.consoleKind === kind));
  const query = kind === "serial" ? "?kind=serial" : "";
  if (page.dataset.reason === "") history.replaceState(null, "", location.pathname + query);
  const another = part("window");
  if (another) another.search = query;
  connect();
}

function pasted() {
  const text = document.getElementById("paste-text");
  if (paste.returnValue === "type") open?.type(text.value.slice(0, PASTE_CHARACTERS_MAX));
  text.value = "";
  open?.focus();
}

const actions = {
  "ctrl-alt-del": () => {
    open?.sendCtrlAltDel?.();
    open?.focus();
  },
  paste: () => {
    paste.returnValue = "";
    paste.showModal();
  },
  "full-screen": () => (document.fullscreenElement ? document.exitFullscreen() : part("stage").requestFullscreen()),
  reconnect: () => connect(),
};

for (const button of page.querySelectorAll("button[data-console-do]")) {
  button.addEventListener("click", () => actions[button.dataset.consoleDo]());
}
for (const button of kinds) button.addEventListener("click", () => choose(button.dataset.consoleKind));
paste.addEventListener("close", pasted);
part("paste-close").addEventListener("click", () => paste.close());
// The notice is kept fresh by live.js: a machine that has started is connected to without being asked.
new MutationObserver(() => {
  if (notice.dataset.running === "true" && page.dataset.state === "closed") connect();
}).observe(notice, { attributes: true, attributeFilter: ["data-running"] });

show("closed");
if (notice.dataset.running === "true") connect();
