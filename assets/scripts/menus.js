// Menus are <details>: they open without a script. This closes them by Escape, by a click elsewhere and
// when another one opens, and opens upwards near the lower edge.
export function startMenus() {
  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      const hadFocus = menu.contains(document.activeElement);
      menu.open = false;
      if (hadFocus) menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const menu = document.activeElement?.closest("details.menu[open]");
    if (!menu) return;
    const items = [...menu.querySelectorAll("summary, .menu-item:not([disabled]), .theme button")];
    const step = event.key === "ArrowDown" ? 1 : items.length - 1;
    const next = items[(items.indexOf(document.activeElement) + step) % items.length];
    event.preventDefault();
    next?.focus();
  });
  // "toggle" does not bubble, hence the capture.
  document.addEventListener(
    "toggle",
    (event) => {
      const menu = event.target;
      if (!menu.matches?.("details.menu") || !menu.open) return;
      for (const other of openMenus()) if (other !== menu) other.open = false;
      const panel = menu.querySelector(".menu-panel");
      menu.classList.remove("menu-up");
      const { bottom } = panel.getBoundingClientRect();
      menu.classList.toggle("menu-up", bottom > document.documentElement.clientHeight);
    },
    true,
  );
}

function openMenus() {
  return document.querySelectorAll("details.menu[open]");
}
