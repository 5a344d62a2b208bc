// Passkeys: asks the browser to make one or to sign with one, and sends what it answers with the form of the page. The
// conversions are our own: some password managers answer with objects whose own `toJSON` fails.
export function startPasskeys() {
  if (!window.PublicKeyCredential) return;
  document.documentElement.classList.add("with-passkeys");
  document.addEventListener("submit", (event) => {
    const form = event.target.closest?.(".passkey-form");
    if (!form) return;
    event.preventDefault();
    begin(form);
  });
}

async function begin(form) {
  const button = form.querySelector("button[type=submit]");
  const problem = form.querySelector("[data-passkey-problem]");
  problem.hidden = true;
  button.disabled = true;
  try {
    const creates = form.dataset.passkeyCreate;
    const asked = await ask(creates ?? form.dataset.passkeyGet, form);
    if (!asked) return;
    const answer = creates ? await create(asked.options) : await get(asked.options);
    form.elements.ceremony.value = asked.ceremony;
    form.elements.answer.value = JSON.stringify(answer);
    form.submit();
  } catch (error) {
    problem.textContent = sentence(error);
    problem.hidden = false;
  } finally {
    button.disabled = false;
  }
}

/** The challenge of the server; nothing when the page leads elsewhere first. */
async function ask(path, form) {
  const body = new URLSearchParams({ csrf: form.dataset.csrf });
  const response = await fetch(path, { method: "POST", body, headers: { accept: "application/json" } });
  if (response.status === 403 && response.headers.get("x-confirm-first")) {
    location.assign(`/confirm?back=${encodeURIComponent(location.pathname)}`);
    return null;
  }
  if (response.redirected || response.status === 401) {
    location.assign("/login");
    return null;
  }
  if (!response.ok) throw new Error("refused");
  return response.json();
}

async function create({ publicKey }) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...publicKey,
      challenge: bytes(publicKey.challenge),
      user: { ...publicKey.user, id: bytes(publicKey.user.id) },
      excludeCredentials: (publicKey.excludeCredentials ?? []).map(named),
    },
  });
  return {
    ...common(made),
    response: {
      attestationObject: text(made.response.attestationObject),
      clientDataJSON: text(made.response.clientDataJSON),
      transports: made.response.getTransports?.() ?? [],
    },
  };
}

async function get({ publicKey }) {
  const signed = await navigator.credentials.get({
    publicKey: {
      ...publicKey,
      challenge: bytes(publicKey.challenge),
      allowCredentials: (publicKey.allowCredentials ?? []).map(named),
    },
  });
  const { authenticatorData, clientDataJSON, signature, userHandle } = signed.response;
  return {
    ...common(signed),
    response: {
      authenticatorData: text(authenticatorData),
      clientDataJSON: text(clientDataJSON),
      signature: text(signature),
      userHandle: userHandle ? text(userHandle) : null,
    },
  };
}

const named = (credential) => ({ ...credential, id: bytes(credential.id) });
const common = (credential) => ({ id: credential.id, rawId: text(credential.rawId), type: credential.type, extensions: {} });

/** Bytes of URL-safe base64. */
function bytes(encoded) {
  const plain = atob(encoded.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

/** URL-safe base64 of bytes. */
function text(buffer) {
  const plain = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function sentence(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "It was called off, or took too long. Try again.";
    case "InvalidStateError":
      return "This device has a passkey for your account already.";
    case "SecurityError":
      return "Passkeys need this site's own address over HTTPS.";
    default:
      return "That did not work. Try again, or use another way.";
  }
}
