// One page with four states: choose a video, wait, result, error. The job's id is in the address after #, so that a
// reload returns to the job. Text from users is only ever set as text, never as HTML.

import { SAID, ask, at, element, sentence } from "/static/api.js";
import { between, gauge, timeline } from "/static/chart.js";

const POLL = 500; // milliseconds
let model = null;
let upload = null;
let shown = null; // the job on the page

function only(shown) {
  for (const id of ["start", "work", "result"]) at(id).hidden = id !== shown;
  at("before").hidden = !model || shown === "work";
}

function refuse(text) {
  only("start");
  at("error").hidden = false;
  at("error").firstElementChild.textContent = text;
  at("file").value = ""; // so that the same file may be chosen again
  at("error").focus();
}

function begin() {
  shown = null;
  history.replaceState(null, "", location.pathname);
  at("error").hidden = true;
  at("file").value = "";
  only("start");
  at("file").focus();
}

function lasting(seconds) {
  const whole = Math.ceil(seconds / 60);
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${whole} min`;
}

async function send(file) {
  at("error").hidden = true;
  try {
    model = await ask("GET", "/api/model");
  } catch (error) {
    return refuse(error.message);
  }
  const { limits } = model;
  // Checked before sending: not every browser reads a response that arrives during an upload.
  if (file.size > limits.max_mb * 1e6) {
    return refuse(`${file.name}: larger than ${limits.max_mb} MB, the most this server takes; cut or re-encode it.`);
  }
  if (model.free < 1) return refuse("The queue is full; try again in a minute.");
  waiting(file.name, "Uploading the video", 0);
  at("file-name").focus();
  upload = new XMLHttpRequest();
  upload.open("POST", `/api/jobs?name=${encodeURIComponent(file.name)}`);
  upload.setRequestHeader("Content-Type", "application/octet-stream");
  upload.upload.onprogress = (event) => waiting(file.name, "Uploading the video", event.loaded / (event.total || 1));
  upload.upload.onload = () => waiting(file.name, "Checking the file", null);
  upload.onload = (event) => {
    const { status, responseText } = event.target;
    if (status !== 201 && status !== 200) return refuse(sentence(status, responseText));
    follow(JSON.parse(responseText).id);
  };
  upload.onerror = () => refuse("The upload was interrupted; send the video again.");
  upload.onabort = begin;
  upload.onloadend = () => (upload = null);
  upload.send(file);
}

function waiting(name, step, share, left = "") {
  only("work");
  at("file-name").textContent = name;
  if (at("step").textContent !== step) at("step").textContent = step;
  if (share === null) at("bar").removeAttribute("value");
  else at("bar").value = share;
  at("left").textContent = left;
}

async function follow(id) {
  shown = id;
  history.replaceState(null, "", `#${id}`);
  while (shown === id) {
    let job;
    try {
      job = await ask("GET", `/api/jobs/${encodeURIComponent(id)}`);
    } catch (error) {
      return refuse(error.message);
    }
    if (shown !== id) return;
    if (job.state === "done") return show(job);
    if (job.state === "cancelled") return begin();
    if (job.state === "failed") return refuse(`${job.name}: ${job.reason}`);
    progress(job);
    await new Promise((done) => setTimeout(done, POLL));
  }
}

function progress(job) {
  if (job.state === "queued") {
    const before = job.position > 1 ? `, ${job.position - 1} before yours` : ", yours is next";
    return waiting(job.name, `Waiting in the queue${before}`, null);
  }
  if (job.windows && job.windows_done === job.windows) return waiting(job.name, "Writing the report", null);
  if (!job.windows) return waiting(job.name, "Analysing the video", null);
  const left = job.seconds_left ? `about ${lasting(job.seconds_left)} left` : "";
  waiting(job.name, "Analysing the video", job.windows_done / job.windows, `${job.windows_done} of ${job.windows} steps${left && ", " + left}`);
}

function show(job) {
  const { verdict } = job;
  only("result");
  at("result-name").textContent = job.name;
  at("said").textContent = SAID[verdict.verdict];
  at("said").className = `verdict ${verdict.verdict}`;
  at("reason").textContent = verdict.reason || "";
  // With several people the threshold is another, and the band moves with it.
  const threshold = verdict.threshold ?? model.facts.threshold;
  const abstention = threshold === model.facts.threshold ? model.facts.abstention : null;
  const known = typeof verdict.probability === "number";
  at("gauge").replaceChildren(...(known ? [gauge(width(), verdict.probability, threshold, abstention)] : []));
  at("measure").textContent = known ? meaning(verdict) : "";
  at("report").hidden = !job.report;
  if (job.report) at("report").href = job.report;
  at("people").hidden = !verdict.faces.length;
  at("faces").replaceChildren(...verdict.faces.map((face) => person(face, verdict)));
  at("expires").textContent = `Your upload has been deleted. This result and its report, which contains a small annotated copy of the video, will be deleted in ${lasting(job.expires)}.`;
  at("said").focus();
}

/** Pixels between the edges of a section. */
function width() {
  return Math.round(at("said").getBoundingClientRect().width);
}

function meaning(verdict) {
  const what = model.facts.abstention ? "Probability of being fake, calibrated" : "Score for being fake, not calibrated";
  const length = verdict.seconds ? `; the video lasts ${verdict.seconds.toFixed(1)} s` : "";
  if (verdict.verdict === "uncertain") return `${what}, not usable: it carries no verdict${length}; scored in ${verdict.took.toFixed(1)} s.`;
  return `${what}. A video above the line is called fake${length}; scored in ${verdict.took.toFixed(1)} s.`;
}

function person(face, verdict) {
  const made = element("article");
  const several = verdict.faces.length > 1;
  const value = typeof face.probability === "number" ? face.probability.toFixed(3) : "no number";
  made.append(element("h3", `${several ? `Person ${face.track + 1}: ` : ""}${SAID[face.verdict]} (${value})`));
  if (face.reason && several) made.append(element("p", face.reason));
  const facts = [`Seen on ${face.frames} frames`, `face ${Math.round(face.side)} pixels wide`];
  if (face.distance !== null) facts.push(`distance from the training data ${face.distance.toFixed(2)} (above 1 is unusual)`);
  made.append(element("p", `${facts.join("; ")}.`, "meta"));
  if (face.timeline.length) {
    made.append(element("h4", "Second by second, from 0 (real) to 1 (fake), not calibrated"));
    const stretches = face.stretches ?? []; // results of earlier versions have none
    made.append(timeline(width(), face.timeline, verdict.seconds, stretches));
    const found = stretches.map(([begin, end, p]) => `${between(begin, end)} (${p.toFixed(2)})`);
    if (found.length) made.append(element("p", `Stretches that look forged, with their mean score: ${found.join(", ")}.`));
  }
  const branches = Object.entries(face.branches);
  if (branches.length) {
    made.append(element("h4", "Probability of each branch alone, not calibrated"));
    made.append(element("p", branches.map(([name, p]) => `${name} ${p === null ? "no number" : p.toFixed(2)}`).join(" · ")));
  }
  return made;
}

async function cancel() {
  if (upload) return upload.abort();
  at("step").textContent = "Cancelling";
  await ask("DELETE", `/api/jobs/${encodeURIComponent(shown)}`).catch((error) => refuse(error.message));
}

async function forget() {
  await ask("DELETE", `/api/jobs/${encodeURIComponent(shown)}`).catch(() => null);
  begin();
}

function introduce() {
  const { facts, limits, keep } = model;
  const on = facts.trained_on.length ? `, trained on ${facts.trained_on.join(", ")}` : "";
  at("notices").replaceChildren(...facts.notices.map((text) => element("li", text)));
  at("before").hidden = false;
  at("list").hidden = !model.lists;
  at("model").textContent = `Run ${facts.run}${on}; version ${facts.version}`;
  at("takes").textContent = `At most ${limits.max_mb} MB and ${lasting(limits.max_seconds)} long`;
  at("privacy").textContent =
    `Your video goes to this server (${location.host}) and nowhere else. It is deleted as soon as it is scored, the result after ${lasting(keep)}.`;
}

function listen() {
  const drop = at("drop");
  // On the whole window: a video dropped beside the box must not make the browser leave the page and play it.
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!at("start").hidden && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  at("file").addEventListener("change", () => at("file").files.length && send(at("file").files[0]));
  at("cancel").addEventListener("click", cancel);
  at("again").addEventListener("click", begin);
  at("forget").addEventListener("click", forget);
}

listen();
try {
  model = await ask("GET", "/api/model");
  introduce();
  if (location.hash.length > 1) follow(location.hash.slice(1));
} catch (error) {
  refuse(error.message);
}
