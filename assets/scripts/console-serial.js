// The serial console of a machine, drawn by xterm.js: bytes both ways, and the size as a message of its own.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";

const SCROLLBACK_LINES = 5000;
const FONT_PIXELS = 14;
/** What is typed goes in pieces the server reads whole, bytes. */
const PIECE_BYTES = 32 * 1024;
const COLOURS = { background: "#0b0e13", foreground: "#d5dbe3", cursor: "#d5dbe3", selectionBackground: "#35506f" };

// xterm.js sets its colours with style elements, which the page's policy only lets in with its nonce.
const nonce = document.querySelector("meta[name=style-nonce]").content;
const create = document.createElement.bind(document);
document.createElement = (name, ...rest) => {
  const element = create(name, ...rest);
  if (String(name).toLowerCase() === "style") element.nonce = nonce;
  return element;
};

/** Draws into `view` what comes over `socket`; calls `ready` once it is open. */
export function openSerial(view, socket, ready) {
  const holder = document.createElement("div");
  holder.className = "console-terminal";
  view.append(holder);
  const terminal = new Terminal({
    cursorBlink: true,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--tblr-font-monospace"),
    fontSize: FONT_PIXELS,
    scrollback: SCROLLBACK_LINES,
    screenReaderMode: true,
    theme: COLOURS,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(holder);
  const isOpen = () => socket.readyState === WebSocket.OPEN;
  const encoder = new TextEncoder();
  const send = (bytes) => {
    for (let from = 0; isOpen() && from < bytes.length; from += PIECE_BYTES) {
      socket.send(bytes.slice(from, from + PIECE_BYTES));
    }
  };
  const size = () => isOpen() && socket.send(JSON.stringify({ columns: terminal.cols, rows: terminal.rows }));
  terminal.onData((text) => send(encoder.encode(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff)));
  terminal.onResize(size);
  socket.addEventListener("message", (event) => terminal.write(new Uint8Array(event.data)));
  socket.addEventListener("open", () => {
    ready();
    fit.fit();
    size();
  });
  const watcher = new ResizeObserver(() => fit.fit());
  watcher.observe(holder);
  return {
    focus: () => terminal.focus(),
    end() {
      watcher.disconnect();
      socket.close();
      terminal.dispose();
    },
    type: (text) => terminal.paste(text),
  };
}
