// The three buttons that choose the colours; theme.js paints them.
export function startThemeSwitch() {
  for (const group of document.querySelectorAll("[data-theme-switch]")) {
    group.hidden = false;
    group.addEventListener("click", (event) => {
      const button = event.target.closest("[data-theme]");
      if (!button) return;
      try {
        localStorage.setItem("theme", button.dataset.theme);
      } catch {
        return; // Storage is switched off: the choice could not be kept, so it is not made.
      }
      document.dispatchEvent(new Event("theme-chosen"));
      show();
    });
  }
  show();
}

function show() {
  let choice = "auto";
  try {
    choice = localStorage.getItem("theme") ?? "auto";
  } catch {
    // Storage is switched off; "auto" is what is painted.
  }
  for (const button of document.querySelectorAll("[data-theme-switch] [data-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.theme === choice));
  }
}
