// The browser's side of the pages. Every page works without it; it adds what a form and a link cannot do.
import { startBytes } from "./bytes.js";
import { startClock } from "./clock.js";
import { startCopy } from "./copy.js";
import { startCost } from "./cost.js";
import { startDialogs } from "./dialogs.js";
import { startLive } from "./live.js";
import { startMenus } from "./menus.js";
import { startPartial } from "./partial.js";
import { startPasskeys } from "./passkeys.js";
import { startThemeSwitch } from "./theme-switch.js";

document.documentElement.classList.add("scripted");
startThemeSwitch();
startMenus();
startDialogs();
startCopy();
startCost();
startBytes();
startPartial();
startPasskeys();
startClock();
startLive();
