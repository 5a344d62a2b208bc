// Fetches HTML of our own server and parses it. Named limits, no retries: whoever asks decides about those.
const FETCH_TIMEOUT_MILLISECONDS = 15_000;

/**
 * Answers the status, the final address and the parsed document (null when it is no HTML).
 * A fragment such as a table row is parsed as a template, so that it is not torn out of its table.
 */
export async function fetchPage(url, options = {}) {
  const response = await fetch(url, {
    credentials: "same-origin",
    headers: { Accept: "text/html", "X-Requested-With": "fetch" },
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MILLISECONDS),
    ...options,
  });
  const isHtml = (response.headers.get("content-type") ?? "").startsWith("text/html");
  if (!isHtml) return { status: response.status, url: response.url, redirected: response.redirected, page: null };
  const text = await response.text();
  return { status: response.status, url: response.url, redirected: response.redirected, page: parse(text) };
}

function parse(text) {
  if (/^\s*<!doctype/i.test(text)) return new DOMParser().parseFromString(text, "text/html");
  const template = document.createElement("template");
  template.innerHTML = text;
  return template.content;
}
