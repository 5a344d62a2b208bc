// Buttons that put a text on the clipboard; hidden by the style sheet where no script runs.
const CONFIRMED_MILLISECONDS = 1500;

export function startCopy() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      selectBeside(button); // No clipboard without HTTPS: select it, so that the keyboard can copy.
      return;
    }
    button.classList.add("copied");
    announce("Copied");
    setTimeout(() => button.classList.remove("copied"), CONFIRMED_MILLISECONDS);
  });
}

function selectBeside(button) {
  const text = button.previousElementSibling;
  if (!text) return;
  const range = document.createRange();
  range.selectNodeContents(text);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

/** Says a word to screen readers. */
export function announce(words) {
  const announcer = document.getElementById("announcer");
  if (!announcer) return;
  announcer.textContent = "";
  announcer.textContent = words;
}
