// Makes one element like another with as few changes as possible, so that focus, open menus, text that is
// being typed and scroll positions survive an update. Children are matched by id, then by tag and order.

/** Changes `current` into the likeness of `wanted`. */
export function morph(current, wanted) {
  if (current.isEqualNode(wanted)) return;
  if (current.nodeType !== Node.ELEMENT_NODE || current.tagName !== wanted.tagName) {
    current.replaceWith(document.importNode(wanted, true));
    return;
  }
  morphAttributes(current, wanted);
  if (current.tagName === "TEXTAREA" && isTouched(current)) return;
  morphChildren(current, wanted);
}

function morphAttributes(current, wanted) {
  // What the person did stays: an open menu, what was typed or ticked.
  const kept = new Set();
  if (current.tagName === "DETAILS" || current.tagName === "DIALOG") kept.add("open");
  const touched = isTouched(current);
  for (const { name, value } of wanted.attributes) {
    if (!kept.has(name) && current.getAttribute(name) !== value) current.setAttribute(name, value);
  }
  for (const { name } of [...current.attributes]) {
    if (!kept.has(name) && !wanted.hasAttribute(name)) current.removeAttribute(name);
  }
  if (current.tagName === "INPUT" && !touched) {
    if (current.type === "checkbox" || current.type === "radio") current.checked = wanted.checked;
    else current.value = wanted.value;
  }
}

function isTouched(field) {
  if (field === document.activeElement && "value" in field) return true;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  return "defaultValue" in field && field.value !== field.defaultValue;
}

function morphChildren(current, wanted) {
  const wantedIds = new Set([...wanted.children].map((child) => child.id).filter(Boolean));
  let place = current.firstChild;
  for (const child of [...wanted.childNodes]) {
    // Children that have no future make room first, so that they are not taken for their neighbours.
    while (place && place.id && !wantedIds.has(place.id)) place = removeAndNext(place);
    const match = child.id ? [...current.children].find((one) => one.id === child.id) : sameKind(place, child);
    if (!match) {
      current.insertBefore(document.importNode(child, true), place);
      continue;
    }
    if (match === place) place = place.nextSibling;
    else current.insertBefore(match, place);
    if (match.nodeType === Node.ELEMENT_NODE) morph(match, child);
    else if (match.nodeValue !== child.nodeValue) match.nodeValue = child.nodeValue;
  }
  while (place) place = removeAndNext(place);
}

function sameKind(node, wanted) {
  return node && !node.id && node.nodeType === wanted.nodeType && node.nodeName === wanted.nodeName ? node : null;
}

function removeAndNext(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}
