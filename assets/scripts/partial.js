// A button with data-partial="#id" sends its form without leaving the page and takes only that part of the
// answer, so that a secret that was typed stays where it is.
import { fetchPage } from "./fetch-page.js";
import { morph } from "./morph.js";

/** A test of a connection may wait for a server that does not answer. */
const PARTIAL_TIMEOUT_MILLISECONDS = 60_000;

export function startPartial() {
  document.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (!button?.dataset.partial || event.defaultPrevented) return;
    event.preventDefault();
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
    try {
      const body = new URLSearchParams(new FormData(event.target));
      const signal = AbortSignal.timeout(PARTIAL_TIMEOUT_MILLISECONDS);
      const { page } = await fetchPage(button.formAction, { method: "POST", body, signal });
      const wanted = page?.querySelector(button.dataset.partial);
      const current = document.querySelector(button.dataset.partial);
      if (wanted && current) {
        morph(current, wanted);
        document.querySelector("#connection-test")?.scrollIntoView({ block: "nearest" });
      }
    } catch {
      // Nothing came back: the form stays as it is and can be sent again.
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
}
