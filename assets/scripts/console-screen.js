// The screen of a machine, drawn by noVNC. The server asks for no password: it proves itself to the machine.
import RFB from "@novnc/novnc";

const SHIFT = 0xffe1;
const ENTER = 0xff0d;
const TAB = 0xff09;
/** Characters that need Shift on a US keyboard, besides the capital letters. */
const SHIFTED = '~!@#$%^&*()_+{}|:"<>?';
/** Keysyms of characters beyond Latin-1 begin here. */
const UNICODE = 0x01000000;
const LATIN_1_MAX = 0xff;

function keysym(character) {
  if (character === "\n" || character === "\r") return ENTER;
  if (character === "\t") return TAB;
  const code = character.codePointAt(0);
  return code <= LATIN_1_MAX ? code : UNICODE | code;
}

/** Draws into `view` what comes over `socket`; calls `ready` once there is a picture. */
export function openScreen(view, socket, ready) {
  const rfb = new RFB(view, socket, { shared: true });
  rfb.scaleViewport = true;
  rfb.background = "transparent";
  rfb.focusOnClick = true;
  rfb.addEventListener("connect", ready);
  return {
    focus: () => rfb.focus(),
    end: () => rfb.disconnect(),
    sendCtrlAltDel: () => rfb.sendCtrlAltDel(),
    type(text) {
      for (const character of text.replaceAll("\r\n", "\n")) {
        const shifted = SHIFTED.includes(character) || /^[A-Z]$/.test(character);
        if (shifted) rfb.sendKey(SHIFT, "ShiftLeft", true);
        rfb.sendKey(keysym(character), null);
        if (shifted) rfb.sendKey(SHIFT, "ShiftLeft", false);
      }
    },
  };
}
