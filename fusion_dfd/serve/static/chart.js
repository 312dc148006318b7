// Two small charts of probabilities as SVG elements, drawn for a given `width` in pixels.

const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawing(width, height, label) {
  return node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

/** How a stretch of time is written. */
export function between(begin, end) {
  return `${begin.toFixed(1)} to ${end.toFixed(1)} s`;
}

/** A scale from 0 to 1 with the threshold, the abstention band (null: none) and the value. */
export function gauge(width, value, threshold, abstention) {
  const x = (p) => (4 + p * (width - 8)).toFixed(1);
  const made = drawing(width, 64, `${value.toFixed(3)} on a scale from 0, real, to 1, fake; the line is at ${threshold.toFixed(3)}`);
  made.append(node("rect", { class: "track", x: 4, y: 20, width: width - 8, height: 14, rx: 7 }));
  const [low, high] = abstention ?? [0, 0];
  if (high > low) {
    const band = node("rect", { class: "abstention", x: x(low), y: 20, width: (high - low) * (width - 8), height: 14 });
    band.append(node("title", {}, "no verdict is given in this band"));
    made.append(band);
  }
  made.append(node("line", { class: "mark", x1: x(threshold), x2: x(threshold), y1: 15, y2: 39 }));
  made.append(node("circle", { class: "value", cx: x(value), cy: 27, r: 9 }));
  const anchor = value < 0.1 ? "start" : value > 0.9 ? "end" : "middle";
  made.append(node("text", { class: "number", x: x(value), y: 11, "text-anchor": anchor }, value.toFixed(3)));
  made.append(node("text", { x: 4, y: 56 }, "0 real"));
  made.append(node("text", { x: width - 4, y: 56, "text-anchor": "end" }, "1 fake"));
  const side = threshold < 0.2 ? "start" : threshold > 0.8 ? "end" : "middle";
  const clear = Math.min(Math.max(threshold, 0.12), 0.88);
  made.append(node("text", { x: x(clear), y: 56, "text-anchor": side }, `line ${threshold.toFixed(2)}`));
  return made;
}

/**
 * One bar per scored second; `length` is the length of the video in seconds. `stretches` look forged, each [begin, end,
 * probability] in seconds, and are shaded behind the bars.
 */
export function timeline(width, points, length, stretches) {
  const [left, top, bottom, height] = [30, 6, 96, 116];
  const seconds = Math.max(Math.ceil(length || 0), points[points.length - 1][0] + 1);
  const step = (width - left) / seconds;
  const highest = points.reduce((a, b) => (b[1] > a[1] ? b : a));
  const label = `By second, highest ${highest[1].toFixed(2)} at second ${highest[0]} of ${seconds}`;
  const made = drawing(width, height, label);
  for (const p of [0, 0.5, 1]) {
    const y = bottom - p * (bottom - top);
    made.append(node("line", { class: "line", x1: left, x2: width, y1: y, y2: y }));
    made.append(node("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, String(p)));
  }
  for (const [begin, end, p] of stretches) {
    const shade = node("rect", {
      class: "stretch", x: left + begin * step, y: top, width: Math.max((end - begin) * step, 1), height: bottom - top,
    });
    shade.append(node("title", {}, `${between(begin, end)}: ${p.toFixed(3)}`));
    made.append(shade);
  }
  for (const [second, p] of points) {
    const tall = Math.max(p * (bottom - top), 1.5);
    const bar = node("rect", {
      class: p > 0.5 ? "high" : "low", x: left + second * step, y: bottom - tall, height: tall,
      width: Math.max(step - Math.min(2, step / 5), 0.5),
    });
    bar.append(node("title", {}, `second ${second}: ${p.toFixed(3)}`));
    made.append(bar);
  }
  made.append(node("text", { x: left, y: height - 4 }, "0 s"));
  made.append(node("text", { x: width, y: height - 4, "text-anchor": "end" }, `${seconds} s`));
  return made;
}
