// Sets the colours before the first paint. Loaded in the head, on purpose not as a module; it does nothing else.
const KEY = "theme";
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try {
    return localStorage.getItem(KEY) ?? "auto";
  } catch {
    return "auto";
  }
}

function paint() {
  const choice = chosen();
  const dark = choice === "dark" || (choice === "auto" && prefersDark.matches);
  document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
}

paint();
prefersDark.addEventListener("change", paint);
window.addEventListener("storage", paint);
document.addEventListener("theme-chosen", paint);
