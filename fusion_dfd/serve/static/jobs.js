// The list of jobs, the newest first, read again every few seconds.

import { SAID, ask, at, element } from "/static/api.js";

const REFRESH = 3000; // milliseconds
const STATE = { queued: "waiting", running: "being scored", done: "done", failed: "failed", cancelled: "cancelled" };
const PAGE = 50;

let shown = PAGE;

function row(job) {
  const made = element("tr");
  const name = element("td");
  const link = element("a", job.name);
  link.href = `/#${encodeURIComponent(job.id)}`;
  name.append(link);
  const about = [job.owner, job.batch, job.replay_of ? "scored again" : ""].filter(Boolean).join(" · ");
  if (about) name.append(element("div", about, "meta"));
  const state = element("td", STATE[job.state]);
  if (job.reason) state.append(element("div", job.reason, "meta"));
  const verdict = element("td", job.verdict ? SAID[job.verdict] : "", job.verdict || "");
  const score = element("td", typeof job.probability === "number" ? job.probability.toFixed(3) : "");
  const detector = element("td", job.detector);
  detector.title = `digest ${job.digest}`;
  made.append(name, state, verdict, score, detector, element("td", new Date(job.accepted).toLocaleString()));
  return made;
}

async function read() {
  const state = at("state").value;
  let jobs = [];
  let next = null;
  do {
    const query = new URLSearchParams({ limit: Math.min(shown - jobs.length, 1000) });
    if (state) query.set("state", state);
    if (next) query.set("before", next);
    const answer = await ask("GET", `/api/jobs?${query}`);
    jobs = jobs.concat(answer.jobs);
    next = answer.next;
  } while (next && jobs.length < shown);
  at("rows").replaceChildren(...jobs.map(row));
  at("none").textContent = jobs.length ? "" : "No videos.";
  at("more").hidden = !next;
}

async function refresh() {
  try {
    at("error").hidden = true;
    await read();
  } catch (error) {
    at("error").hidden = false;
    at("error").firstElementChild.textContent = error.message;
  }
}

at("state").addEventListener("change", refresh);
at("more").addEventListener("click", () => {
  shown += PAGE;
  refresh();
});
setInterval(() => document.hidden || at("sign-in").hidden === false || refresh(), REFRESH);
refresh();
