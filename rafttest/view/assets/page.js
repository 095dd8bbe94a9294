// The page: what is shown, where the cursor is, and what keys and pointer do to that.

const timeline = new Timeline(JSON.parse(byId("data").textContent));
const theme = new Theme();
const axis = new Axis(timeline);
const lanes = new Lanes(byId("lanes"), timeline, axis, theme);
const overview = new Overview(byId("overview"), timeline, axis, theme);
const cluster = new Cluster(byId("cluster"), timeline);
const list = new List(byId("list"), byId("list-space"), timeline, theme, (event) => goTo(event));
const detail = new Detail(byId("detail"), timeline, (event) => goTo(event));
const count = timeline.events.length;

let cursor = 0;
let query = "";
/** Message types and kinds that are hidden. @type {Set<string>} */
const hidden = new Set();
const visible = new Uint8Array(count);
/** @type {number[]} */
let shown = [];
let isDrawing = false;

/** Draw before the next frame, once. */
function redraw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    lanes.searching = query !== "";
    lanes.draw(cursor, visible);
    overview.draw(cursor, visible, query !== "");
  });
}

/** Put the cursor on an event. @param {number} event @param {boolean} [centred] */
function goTo(event, centred = false) {
  if (count === 0) return;
  cursor = Math.max(0, Math.min(count - 1, event));
  axis.show(cursor, centred);
  cluster.draw(cursor);
  list.setCursor(cursor);
  detail.draw(cursor);
  byId("place").replaceChildren("event ", make("b", {}, String(cursor)), ` of ${count - 1}`);
  const comment = timeline.commentAt(cursor);
  byId("caption").hidden = timeline.sections.every((section) => section.comment === "");
  byId("caption").textContent = comment || "\u00a0";
  history.replaceState(null, "", `#event=${cursor}`);
  redraw();
}

/** The next event in a direction that fits; the cursor stays if there is none.
 * @param {number} direction @param {(event: Event) => boolean} fits */
function step(direction, fits) {
  for (let at = cursor + direction; at >= 0 && at < count; at += direction) {
    if (visible[at] === 1 && fits(timeline.events[at])) return goTo(at);
  }
}

// -- search and filters

/** What a filter goes by. @param {Event} event */
const filterOf = (event) => (event.message !== null ? event.message.type : event.kind);

function refilter() {
  const matches = matcher(query);
  shown = [];
  for (const event of timeline.events) {
    const isShown = !hidden.has(filterOf(event)) && (matches === null || matches(event));
    visible[event.number] = isShown ? 1 : 0;
    if (isShown) shown.push(event.number);
  }
  const isAll = shown.length === count;
  byId("summary").textContent = isAll ? summary() : `${shown.length.toLocaleString("en")} of ${count.toLocaleString("en")} events`;
  list.setShown(shown);
  list.setCursor(cursor);
  overview.forget();
  redraw();
}

function summary() {
  const nodes = timeline.nodes.length;
  return `${nodes} ${nodes === 1 ? "node" : "nodes"}, ${count.toLocaleString("en")} events, ${timeline.messages.length.toLocaleString("en")} messages`;
}

function buildFilters() {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const event of timeline.events) {
    if (event.message === null || event.kind === "send" || event.message.sent < 0) {
      counts.set(filterOf(event), (counts.get(filterOf(event)) ?? 0) + 1);
    }
  }
  const families = Object.keys(FAMILY_NAMES);
  const types = [...new Set(timeline.messages.map((m) => m.type))];
  types.sort((a, b) => families.indexOf(familyOf(a)) - families.indexOf(familyOf(b)) || Number(isAnswer(a)) - Number(isAnswer(b)) || (a < b ? -1 : 1));
  const bar = byId("filters");
  bar.append(...types.map((type) => chip(type, shortType(type), counts.get(type) ?? 0, messageSample(type))));
  if (types.length > 0) bar.append(make("span", { class: "gap" }));
  const groups = KIND_GROUPS.filter(([, kind]) => counts.has(kind));
  bar.append(...groups.map(([name, kind]) => chip(kind, name, counts.get(kind) ?? 0, null)));
}

/** @param {string} type */
function messageSample(type) {
  const dash = isAnswer(type) ? 'stroke-dasharray="5 3"' : familyOf(type) === "heartbeat" ? 'stroke-dasharray="1.5 3"' : "";
  return drawing(`<path d="M0 5h16" style="stroke:var(--m-${familyOf(type)})" stroke-width="2" ${dash}/>`, 16, 10);
}

/** @param {string} key @param {string} name @param {number} number @param {?Element} sample */
function chip(key, name, number, sample) {
  const button = make("button", { class: "chip", type: "button", "aria-pressed": "true", "data-filter": key, title: "Hide or show; Alt: only this" });
  button.append(...(sample ? [sample] : []), name, make("small", {}, number.toLocaleString("en")));
  button.addEventListener("click", (event) => {
    const all = [...document.querySelectorAll(".chip")].map((one) => /** @type {HTMLElement} */ (one).dataset.filter ?? "");
    if (event.altKey) {
      const isOnly = hidden.size === all.length - 1 && !hidden.has(key);
      hidden.clear();
      if (!isOnly) for (const other of all) if (other !== key) hidden.add(other);
    } else if (!hidden.delete(key)) {
      hidden.add(key);
    }
    for (const one of document.querySelectorAll(".chip")) {
      one.setAttribute("aria-pressed", String(!hidden.has(/** @type {HTMLElement} */ (one).dataset.filter ?? "")));
    }
    refilter();
  });
  return button;
}

/** @param {string} text */
function search(text) {
  query = text.trim();
  refilter();
  const number = /^#(\d+)$/.exec(query);
  if (number) goTo(Number(number[1]), true);
}

// -- sheets

/** @param {Element[]} content */
function openSheet(content) {
  byId("sheet").replaceChildren(...content);
  byId("overlay").hidden = false;
  byId("sheet").focus();
}

function closeSheet() {
  byId("overlay").hidden = true;
  byId("lanes").focus();
}

// -- keys

/** Whether an event changed its node's role or term. @param {Event} event */
function isTurn(event) {
  const stretches = timeline.stretches.get(event.node) ?? [];
  const at = lastAtMost(stretches, event.number);
  return at > 0 && stretches[at].start === event.number;
}

/** @param {Event} event */
const isBad = (event) => ["crash", "lose", "fault", "violation"].includes(event.kind);

/** @param {number} direction */
function sameType(direction) {
  const here = timeline.events[cursor];
  step(direction, (event) => filterOf(event) === filterOf(here) && event.kind === here.kind);
}

/** @param {number} direction */
function otherLane(direction) {
  const row = timeline.nodes.indexOf(timeline.events[cursor].node) + direction;
  const node = timeline.nodes[row];
  if (node === undefined) return;
  for (let at = cursor; at >= 0; at--) if (timeline.events[at].node === node && visible[at] === 1) return goTo(at);
  step(1, (event) => event.node === node);
}

function follow() {
  const { message, kind } = timeline.events[cursor];
  if (message === null) return;
  const target = kind === "send" ? message.ends[0] : message.sent;
  if (target !== undefined && target >= 0) goTo(target);
}

/** @param {number} factor */
function zoomAtCursor(factor) {
  const x = axis.x(cursor);
  axis.zoom(factor, x >= 0 && x <= axis.width ? x : axis.width / 2);
  redraw();
}

function toggleAxis() {
  if (timeline.momentsPerTick === 0) return;
  axis.setByTime(!axis.byTime, cursor);
  byId("axis").textContent = axis.byTime ? "Axis: time" : "Axis: events";
  overview.forget();
  redraw();
}

/** @type {Record<string, (event: KeyboardEvent) => void>} */
const KEY_ACTIONS = {
  ArrowRight: (event) => (event.shiftKey ? goTo(shown[Math.min(shown.length - 1, lowerBound(shown, cursor) + 10)] ?? cursor) : step(1, () => true)),
  ArrowLeft: (event) => (event.shiftKey ? goTo(shown[Math.max(0, lowerBound(shown, cursor) - 10)] ?? cursor) : step(-1, () => true)),
  ArrowDown: () => otherLane(1),
  ArrowUp: () => otherLane(-1),
  Home: () => goTo(shown[0] ?? 0),
  End: () => goTo(shown.at(-1) ?? count - 1),
  n: () => sameType(1),
  N: () => sameType(-1),
  m: () => step(1, (event) => event.node === timeline.events[cursor].node),
  M: () => step(-1, (event) => event.node === timeline.events[cursor].node),
  f: follow,
  e: () => step(1, isTurn),
  E: () => step(-1, isTurn),
  x: () => step(1, isBad),
  X: () => step(-1, isBad),
  "+": () => zoomAtCursor(1.4),
  "=": () => zoomAtCursor(1.4),
  "-": () => zoomAtCursor(1 / 1.4),
  0: () => zoomAtCursor(1e-9),
  a: () => { axis.pan(-axis.width / 3); redraw(); },
  d: () => { axis.pan(axis.width / 3); redraw(); },
  c: () => { axis.show(cursor, true); redraw(); },
  t: toggleAxis,
  i: () => openSheet(factsSheet(timeline)),
  "?": () => openSheet(helpSheet(theme)),
  "/": () => byId("search").focus(),
  Escape: () => { byId("search").value = ""; search(""); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!byId("overlay").hidden) {
    if (["Escape", "?", "i"].includes(event.key)) closeSheet();
    return;
  }
  if (event.target === byId("search")) {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1, () => true); }
    if (event.key === "Escape") { byId("search").value = ""; search(""); byId("lanes").focus(); }
    return;
  }
  const action = KEY_ACTIONS[event.key];
  if (action) {
    event.preventDefault();
    action(event);
  } else if (/^[1-9]$/.test(event.key)) {
    step(1, (one) => one.node === Number(event.key));
  }
});

// -- pointer

function listenToLanes() {
  const canvas = byId("lanes");
  /** @type {?{x: number, moved: number}} */
  let drag = null;
  canvas.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) axis.pan(event.deltaX || event.deltaY);
    else if (event.offsetX < GUTTER) lanes.scroll(event.deltaY);
    else axis.zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX - GUTTER);
    redraw();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    drag = { x: event.clientX, moved: 0 };
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
  });
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    if (drag === null) return hover(event);
    const dx = event.clientX - drag.x;
    drag.x = event.clientX;
    drag.moved += Math.abs(dx);
    if (drag.moved > 3) {
      canvas.classList.add("dragging");
      axis.pan(-dx);
      redraw();
    }
  });
  canvas.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => {
    canvas.classList.remove("dragging");
    if (drag !== null && drag.moved <= 3) click(event.offsetX, event.offsetY);
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => {
    byId("tip").hidden = true;
    lanes.hovered = null;
    redraw();
  });
}

/** @param {number} x @param {number} y */
function click(x, y) {
  const { arrow, event } = lanes.find(x, y);
  if (arrow) {
    const ends = [arrow.from, arrow.to].filter((end) => end >= 0);
    ends.sort((a, b) => Math.abs(axis.x(a) + GUTTER - x) - Math.abs(axis.x(b) + GUTTER - x));
    goTo(ends[0]);
  } else if (event !== undefined) {
    goTo(event);
  } else if (x > GUTTER) {
    goTo(shown[Math.min(shown.length - 1, lowerBound(shown, axis.firstAt(x - GUTTER)))] ?? cursor);
  }
}

/** @param {PointerEvent} pointer */
function hover(pointer) {
  const { arrow, event } = lanes.find(pointer.offsetX, pointer.offsetY);
  const tip = byId("tip");
  const text = arrow
    ? `${arrow.message.from} \u2192 ${arrow.message.to} ${arrow.message.type}\n${messageFacts(arrow.message).join(", ")}`
    : event !== undefined ? `${timeline.events[event].kind}: ${headline(timeline.events[event])}` : "";
  tip.hidden = text === "";
  tip.textContent = text;
  tip.style.left = `${Math.min(pointer.clientX + 14, window.innerWidth - tip.offsetWidth - 12)}px`;
  tip.style.top = `${Math.min(pointer.clientY + 16, window.innerHeight - tip.offsetHeight - 12)}px`;
  byId("lanes").style.cursor = text === "" ? "default" : "pointer";
  if (lanes.hovered !== (arrow ?? null)) {
    lanes.hovered = arrow ?? null;
    redraw();
  }
}

function listenToOverview() {
  const canvas = byId("overview");
  const move = (/** @type {PointerEvent} */ event) => {
    axis.left = overview.placeAt(event.offsetX) - axis.width / axis.scale / 2;
    axis.clamp();
    redraw();
  };
  canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    canvas.setPointerCapture(event.pointerId);
    move(event);
  });
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    if (event.buttons & 1) move(event);
  });
}

// -- beginning

function linkedEvent() {
  const linked = /event=(\d+)/.exec(location.hash);
  return linked ? Number(linked[1]) : null;
}

function begin() {
  document.title = timeline.title;
  byId("title").textContent = timeline.title;
  byId("axis").hidden = timeline.momentsPerTick === 0;
  axis.byTime = timeline.momentsPerTick > 0;
  axis.place();
  byId("axis").textContent = axis.byTime ? "Axis: time" : "Axis: events";
  byId("axis").addEventListener("click", toggleAxis);
  byId("facts-button").addEventListener("click", () => openSheet(factsSheet(timeline)));
  byId("help-button").addEventListener("click", () => openSheet(helpSheet(theme)));
  byId("overlay").addEventListener("click", (/** @type {MouseEvent} */ event) => event.target === byId("overlay") && closeSheet());
  byId("search").addEventListener("input", () => search(byId("search").value));
  window.addEventListener("hashchange", () => goTo(linkedEvent() ?? cursor));
  window.addEventListener("resize", () => { overview.forget(); goTo(cursor); });
  theme.onChange = () => { overview.forget(); goTo(cursor); };
  const violation = timeline.events.findLast((event) => event.kind === "violation");
  if (violation) {
    byId("alarm").hidden = false;
    byId("alarm").textContent = violation.text.length > 60 ? `${violation.text.slice(0, 60)}\u2026` : violation.text;
    byId("alarm").addEventListener("click", () => goTo(violation.number));
  }
  buildFilters();
  listenToLanes();
  listenToOverview();
  refilter();
  axis.width = byId("lanes").clientWidth - GUTTER;
  axis.scale = Math.max(Math.min(90, axis.fit), 13);
  if (location.hash.includes("&all")) axis.scale = Math.min(axis.fit, 90);
  goTo(linkedEvent() ?? violation?.number ?? 0, true);
  byId("lanes").focus();
}

begin();

/** For tests and for the console. */
Object.assign(window, {
  raftView: { timeline, axis, lanes, get cursor() { return cursor; }, get shown() { return shown; }, get isDrawing() { return isDrawing; }, goTo },
});
