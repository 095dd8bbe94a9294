// The help sheet: keys and legend.

const KEYS = [
  ["\u2190 \u2192", "previous, next event (Shift: ten)"],
  ["Home End", "first, last event"],
  ["n N", "next, previous of the same type"],
  ["m M", "next, previous of the same node"],
  ["\u2191 \u2193", "last event of the node above, below"],
  ["1 \u2026 9", "next event of that node"],
  ["f", "follow a message to its other end"],
  ["e E", "next, previous change of role or term"],
  ["x X", "next, previous crash, loss, fault or violation"],
  ["+ \u2212 0", "zoom in, out, everything"],
  ["a d", "pan left, right"],
  ["c", "bring the cursor to the middle"],
  ["t", "space events evenly or by time"],
  ["/", "search; Enter goes to the next match"],
  ["Esc", "clear the search, close this"],
  ["i", "facts of this run"],
];

const MOUSE = [
  ["wheel", "zoom at the pointer"],
  ["Shift wheel, drag", "pan"],
  ["click", "an arrow or a mark: go there"],
  ["click a filter", "hide it; Alt click: only it"],
];

/** @param {Theme} theme */
function helpSheet(theme) {
  const keys = (/** @type {string[][]} */ rows) => {
    const list = make("dl");
    for (const [key, text] of rows) {
      list.append(make("dt", {}, ...key.split(" ").map((one) => make("kbd", {}, one))), make("dd", {}, text));
    }
    return list;
  };
  const columns = make("div", { class: "columns" });
  columns.append(
    make("div", {}, make("h3", {}, "Keys"), keys(KEYS)),
    make("div", {}, make("h3", {}, "Mouse"), keys(MOUSE), make("h3", {}, "Lanes: colour is the term"), rolesLegend(theme),
      make("h3", {}, "Logs"), logLegend()),
  );
  return [make("h2", {}, "Keys and legend"), columns, make("h3", {}, "Messages: answers are dashed"), messageLegend(theme)];
}

/** @param {string} markup of shapes only, never of a trace @param {number} width @param {number} height */
function drawing(markup, width, height) {
  const holder = document.createElement("div");
  holder.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${markup}</svg>`;
  return /** @type {Element} */ (holder.firstElementChild);
}

/** @param {Theme} theme */
function rolesLegend(theme) {
  const fill = termFill(1);
  const list = make("div", { class: "legend" });
  const hatch = (/** @type {number} */ weight) => `<rect y="3" width="74" height="14" fill="${fill}" opacity=".4"/>` +
    Array.from({ length: 13 }, (_, at) => `<path d="M${at * 7 - 10} 17l14-14" stroke="${theme.ink}" stroke-width="${weight}"/>`).join("");
  list.append(
    drawing(`<rect y="6" width="74" height="7" fill="${fill}"/>`, 74, 20), "follower",
    drawing(hatch(1), 74, 20), "pre-candidate", drawing(hatch(2.5), 74, 20), "candidate",
    drawing(`<rect width="74" height="20" fill="${theme.ink}"/><rect y="2" width="74" height="16" fill="${fill}"/>`, 74, 20), "leader",
    drawing(`<path d="M0 10h74" stroke="${theme.hatch}" stroke-width="2" stroke-dasharray="3 5"/><path d="M12 4l12 12m0-12l-12 12" stroke="${theme.alarm}" stroke-width="3"/><path d="M54 4l11 6-11 6z" fill="${theme.good}"/>`, 74, 20),
    "crash, down, restart",
  );
  return list;
}

function logLegend() {
  const list = make("div", { class: "legend" });
  const entry = (/** @type {string} */ kind) => {
    const fill = termFill(4);
    const log = make("div", { class: "log" });
    log.append(make("span", { class: kind, style: `left:0;width:40px;--term:${fill};background:${fill}` }, "4"));
    return log;
  };
  const marked = entry("");
  marked.append(make("i", { style: "left:42px" }), make("i", { class: "applied", style: "left:0;width:40px" }));
  list.append(marked, "committed; bar: commit index; line: applied", entry("open"), "on disk, not committed", entry("unsaved"), "not on disk yet");
  return list;
}

/** @param {Theme} theme */
function messageLegend(theme) {
  const list = make("div", { class: "legend", style: "grid-template-columns:74px 1fr 74px 1fr" });
  for (const [family, name] of Object.entries(FAMILY_NAMES)) {
    const dash = family === "heartbeat" ? 'stroke-dasharray="1.5 3"' : "";
    const width = family === "snapshot" ? 2.5 : 1.25;
    const colour = theme.family[family];
    list.append(drawing(`<path d="M0 8h66" stroke="${colour}" stroke-width="${width}" ${dash}/><path d="M72 8l-8 3.5v-7z" fill="${colour}"/>`, 74, 16), name);
  }
  list.append(drawing(`<path d="M0 8h50" stroke="${theme.family.append}"/><path d="M46 4l8 8m0-8l-8 8" stroke="${theme.alarm}" stroke-width="2"/>`, 74, 16), "lost");
  return list;
}

/** @param {Timeline} timeline */
function factsSheet(timeline) {
  const list = make("dl");
  for (const [name, value] of timeline.facts) list.append(make("dt", {}, name), make("dd", {}, value));
  return [make("h2", {}, timeline.title), list];
}
