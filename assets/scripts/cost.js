// Shows the costs of the plan that is chosen: fetches the panel whenever the form changes.
import { fetchPage } from "./fetch-page.js";
import { morph } from "./morph.js";

/** Quiet time after the last key before the panel is fetched. */
const TYPING_MILLISECONDS = 250;
/** What the panel depends on; the token and the pasted key stay out of the address. */
const FIELDS = ["location", "image", "plan", "ssh_keys", "name", "grow_disk"];

export function startCost() {
  const form = document.querySelector("[data-cost-form]");
  if (!form) return;
  let timer;
  let latest = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, TYPING_MILLISECONDS);
  });

  async function show() {
    const call = ++latest;
    const panel = form.querySelector("[data-cost-src]");
    const values = new FormData(form);
    const query = new URLSearchParams(FIELDS.flatMap((field) => values.getAll(field).map((value) => [field, value])));
    try {
      const { status, page } = await fetchPage(`${panel.dataset.costSrc}?${query}`);
      const wanted = page?.querySelector("[data-cost-src]");
      if (call !== latest || status !== 200 || !wanted) return;
      morph(panel, wanted);
      // Words elsewhere in the form that depend on the plan.
      for (const part of form.querySelectorAll("[data-cost-part]")) {
        const twin = page.querySelector(`#${CSS.escape(part.id)}`);
        if (twin) morph(part, twin);
      }
    } catch {
      // The panel keeps its last figures; the server checks again at the press of the button.
    }
  }
}
