// Two dialogs: a question before a form is sent (data-confirm), and a form of another page shown in place
// (data-dialog="#id-in-that-page"). Without a script the form is sent at once and the link opens its page.
import { fetchPage } from "./fetch-page.js";

export function startDialogs() {
  const confirmation = document.getElementById("confirm-dialog");
  const pageDialog = document.getElementById("page-dialog");
  if (!confirmation?.showModal || !pageDialog) return;

  let pending = null;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.confirm || form === pending) return;
    event.preventDefault();
    pending = form;
    confirmation.querySelector("#confirm-title").textContent = form.dataset.confirm;
    confirmation.querySelector("#confirm-text").textContent = form.dataset.confirmText ?? "";
    confirmation.querySelector("[data-dialog-confirm]").textContent = form.dataset.confirmButton ?? "Yes";
    confirmation.returnValue = "";
    confirmation.showModal();
  });
  confirmation.querySelector("[data-dialog-confirm]").addEventListener("click", () => confirmation.close("confirmed"));
  confirmation.addEventListener("close", () => {
    // A live update may have replaced the form in the meantime; its twin asks for the same.
    const form = pending?.isConnected ? pending : twinOf(pending);
    if (confirmation.returnValue === "confirmed" && form) {
      pending = form;
      form.requestSubmit();
    }
    pending = null;
  });

  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-dialog-close]") && event.target.closest("dialog")) {
      event.preventDefault();
      event.target.closest("dialog").close();
      return;
    }
    if (event.target.matches("dialog.dialog")) event.target.close(); // the backdrop
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    try {
      const { page } = await fetchPage(link.href);
      const part = page?.querySelector(link.dataset.dialog);
      if (!part) throw new Error("the page has no such part");
      pageDialog.replaceChildren(document.importNode(part, true));
      link.closest("details.menu")?.removeAttribute("open");
      pageDialog.showModal();
      pageDialog.querySelector("input:not([type=hidden])")?.focus();
    } catch {
      location.assign(link.href);
    }
  });
}

function twinOf(form) {
  return form && document.querySelector(`form[action="${CSS.escape(form.getAttribute("action"))}"][data-confirm]`);
}
