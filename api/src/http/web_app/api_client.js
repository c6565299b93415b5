// Sends requests to the API, and shows the problems it returns. The page sends requests nowhere else.

const TIMEOUT_MS = 20_000;

// Returns the status (0 without a response), the body, the slug of a problem and the seconds of `Retry-After`.
async function request(method, path, { body, credentials, token, key } = {}) {
  // Mails are written in the language of the page.
  const headers = { "accept-language": language };
  if (body) headers["content-type"] = "application/json";
  if (credentials) headers.authorization = `Basic ${basic(credentials)}`;
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  const sentAt = Date.now();
  try {
    const response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), cache: "no-store", redirect: "error",
      // Otherwise the browser opens its own password dialog after a 401.
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    syncWithDate(response.headers.get("date"), sentAt, Date.now());
    const text = await response.text();
    setReachable(true);
    const json = parseJson(text);
    const slug = response.ok ? "" : String(json.type).split("/").pop();
    const retryAfter = Number(response.headers.get("retry-after"));
    return { status: response.status, ok: response.ok, body: json, slug, retryAfter };
  } catch {
    setReachable(false);
    return { status: 0, ok: false, body: {}, slug: "unreachable", retryAfter: 0 };
  }
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

// Basic credentials are UTF-8 (RFC 7617), and `btoa` takes bytes only.
function basic({ email, password }) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(`${email.trim()}:${password}`)));
}

// Shows or hides the offline banner, and announces changes only.
function setReachable(isReachable) {
  const hidden = isReachable && navigator.onLine;
  if (byId("offline").hidden === hidden) return;
  byId("offline").hidden = hidden;
  showStatus(hidden ? "" : byId("offline").textContent, { unseen: true });
}

// The message for a problem that every operation may return.
function commonMessage({ slug, body, retryAfter }) {
  switch (slug) {
    case "too-many-requests":
      return message(`too-many-${body.scope}`, { wait: duration(body.retry_after) });
    case "overloaded":
    case "unavailable":
      return message("busy", { wait: duration(retryAfter || 1) });
    case "unreachable":
      return message("unreachable");
    default:
      return message("failed", { id: body.request_id ?? "?" });
  }
}

// Shows a problem: at its fields, with the operation's own message for the slug, or with the common message.
function showProblem(response, fields, ownMessages = {}) {
  if (response.slug === "invalid-input") showFieldErrors(response.body.errors, fields);
  else showError(ownMessages[response.slug] ? message(ownMessages[response.slug]) : commonMessage(response));
}
