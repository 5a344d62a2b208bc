// Says how many bytes a text takes while it is typed, as the server counts it: UTF-8, with the line ends of Unix.
export function startBytes() {
  for (const field of document.querySelectorAll("[data-bytes-shown]")) {
    const shown = document.getElementById(field.dataset.bytesShown);
    if (!shown) continue;
    const show = () => {
      const bytes = new TextEncoder().encode(field.value.replaceAll("\r\n", "\n")).length;
      shown.textContent = bytes === 0 ? "" : `; these are ${bytes}`;
    };
    field.addEventListener("input", show);
    show();
  }
}
