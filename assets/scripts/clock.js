// Lets the demo's clock run between two pages.
const TICK_MILLISECONDS = 1_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function startClock() {
  const clock = document.querySelector("[data-clock]");
  const face = clock?.querySelector("[data-clock-face]");
  if (!face) return;
  const shown = Date.parse(clock.dataset.clock);
  const speed = Number(clock.dataset.clockSpeed);
  const loaded = performance.now();
  if (Number.isNaN(shown) || Number.isNaN(speed)) return;
  setInterval(() => {
    const now = new Date(shown + (performance.now() - loaded) * speed);
    const two = (number) => String(number).padStart(2, "0");
    const day = `${now.getUTCDate()} ${MONTHS[now.getUTCMonth()]} ${now.getUTCFullYear()}`;
    face.textContent = `${day} ${two(now.getUTCHours())}:${two(now.getUTCMinutes())}`;
  }, TICK_MILLISECONDS);
}
