// Asks the service, and says what it answered. The service is the only one that is ever asked.

const PATIENCE_MS = 20_000;

// What was answered: the status (0 if nobody answered), the body, the slug of a problem, the seconds to wait.
async function ask(method, path, { body, person, token, key } = {}) {
  // The mail is to be in the language of the page.
  const headers = { "accept-language": language };
  if (body) headers["content-type"] = "application/json";
  if (person) headers.authorization = `Basic ${basic(person)}`;
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  const asked = Date.now();
  try {
    const response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), cache: "no-store", redirect: "error",
      // Or the browser would ask for a password by itself, in a window of its own.
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    hearDate(response.headers.get("date"), asked, Date.now());
    const text = await response.text();
    isReachable(true);
    const said = parse(text);
    const slug = response.ok ? "" : String(said.type).split("/").pop();
    return { status: response.status, ok: response.ok, said, slug, wait: Number(response.headers.get("retry-after")) };
  } catch {
    isReachable(false);
    return { status: 0, ok: false, said: {}, slug: "unreachable", wait: 0 };
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

// Basic is UTF-8 (RFC 7617), and `btoa` knows bytes only.
function basic({ email, password }) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(`${email.trim()}:${password}`)));
}

// Says so when that changes, and not each time that somebody finds out.
function isReachable(reached) {
  const hidden = reached && navigator.onLine;
  if (byId("offline").hidden === hidden) return;
  byId("offline").hidden = hidden;
  announce(hidden ? "" : byId("offline").textContent, { unseen: true });
}

// What is answered everywhere alike, in words.
function excuse({ slug, said, wait }) {
  switch (slug) {
    case "too-many-requests":
      return word(`too-many-${said.scope}`, { wait: duration(said.retry_after) });
    case "overloaded":
    case "unavailable":
      return word("busy", { wait: duration(wait || 1) });
    case "unreachable":
      return word("unreachable");
    default:
      return word("failed", { id: said.request_id ?? "?" });
  }
}

// Complains in the words that are right here, else in those that are right anywhere.
function refuse(answer, fields, own = {}) {
  if (answer.slug === "invalid-input") showFaults(answer.said.errors, fields);
  else complain(own[answer.slug] ? word(own[answer.slug]) : excuse(answer));
}
