// Requests to this server, and its form for a key.

export const at = (id) => document.getElementById(id);

export const SAID = {
  fake: "Looks fake",
  real: "No forgery found",
  uncertain: "No verdict",
  none: "Could not be scored",
};

export async function ask(method, path, headers = {}) {
  const answer = await fetch(path, { method, headers }).catch(() => null);
  if (!answer) throw new Error("The server does not answer; is it still running?");
  if (answer.status === 401) askForKey();
  if (!answer.ok) throw new Error(sentence(answer.status, await answer.text()));
  return answer.status === 204 ? null : answer.json();
}

export function sentence(status, text) {
  try {
    const detail = JSON.parse(text).detail;
    if (typeof detail === "string") return detail;
  } catch {
    // Not a message of this server: show the status.
  }
  return `The server refused with status ${status}.`;
}

export function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

/** The server keeps the key in a cookie that no script can read, so the page is simply loaded again. */
function askForKey() {
  at("sign-in").hidden = false;
  at("sign-in").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await ask("POST", "/api/session", { Authorization: `Bearer ${at("key").value.trim()}` });
      location.reload();
    } catch (error) {
      at("key-error").textContent = error.message;
    }
  };
}
