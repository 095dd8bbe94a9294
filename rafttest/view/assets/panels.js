// The panels: the table of nodes and logs at the cursor, the list of events, the details of one.

const ROW = 24;
const MOST_ENTRIES = 60;

class Cluster {
  /** @param {HTMLElement} box @param {Timeline} timeline */
  constructor(box, timeline) {
    this.box = box;
    this.timeline = timeline;
    /** How many entries the logs are shifted back from their end; null: so that most nodes' ends are seen. @type {?number} */
    this.back = null;
    box.addEventListener("wheel", (event) => {
      const target = /** @type {Element} */ (event.target);
      if (!target.closest(".log-cell") || !this.isCut) return;
      event.preventDefault();
      this.back = Math.max(0, this.shift - Math.round((event.deltaY + event.deltaX) / 20));
      this.draw(this.cursor);
    }, { passive: false });
  }

  /** @param {number} cursor */
  draw(cursor) {
    this.cursor = cursor;
    const { timeline } = this;
    const event = timeline.events[cursor];
    const states = timeline.nodes.map((node) => timeline.stateAt(node, cursor));
    const range = this.rangeOf(states);
    const head = make("tr");
    const titles = ["node", "role", "term", "vote", "leader", "commit", "applied", "last"];
    const widths = [52, 118, 56, 48, 56, 64, 66, 56];
    titles.forEach((title, at) => {
      const cell = make("th", { style: `width:${widths[at]}px`, ...(at < 2 ? { class: "left" } : {}) }, title);
      head.append(cell);
    });
    head.append(make("th", { class: "left log-cell" }, this.logHead(range)));
    const table = make("table", { class: "nodes" }, make("thead", {}, head));
    const body = make("tbody");
    timeline.nodes.forEach((node, at) => {
      const before = cursor > 0 && event?.node === node ? timeline.stateAt(node, cursor - 1) : states[at];
      body.append(this.row(node, states[at], before, event?.node === node, range));
    });
    table.append(body);
    this.box.replaceChildren(table);
  }

  /** @param {(State | null)[]} states */
  rangeOf(states) {
    const known = states.filter((state) => state !== null);
    const last = Math.max(0, ...known.map((state) => state.last));
    const first = Math.min(last, ...known.map((state) => state.first));
    const room = Math.max(120, this.box.clientWidth - 542);
    const fits = Math.floor(room / 26);
    this.isCut = last - first + 2 > fits;
    const ends = known.map((state) => state.last).filter((end) => end > 0).sort((a, b) => b - a);
    const middle = ends[Math.floor(ends.length / 2)] ?? last;
    const shift = this.back ?? Math.max(0, last - middle - fits + 4);
    this.shift = Math.max(0, Math.min(shift, last - first + 1 - fits));
    const high = last - this.shift;
    const low = Math.max(first, high - fits + (first < high - fits + 1 ? 2 : 1), 1);
    return { low, high, width: Math.min(84, Math.floor(room / (high - low + 2))), first };
  }

  /** @param {{low: number, high: number, width: number}} range */
  logHead(range) {
    const log = make("div", { class: "log head" });
    const step = range.width >= 26 && range.high < 1000 ? 1 : 2;
    for (let index = range.low; index <= range.high; index++) {
      if ((range.high - index) % step !== 0) continue;
      log.append(make("span", { style: place(index, range) }, String(index)));
    }
    return log;
  }

  /** @param {number} node @param {?State} state @param {?State} before @param {boolean} isHere @param {any} range */
  row(node, state, before, isHere, range) {
    const row = make("tr", { class: `${isHere ? "here" : ""} ${state?.up ? "" : "down"}`, "data-node": String(node) });
    row.append(make("td", { class: "left" }, String(node)));
    if (state === null) {
      const isPeer = this.timeline.witness !== 0 && this.timeline.witness !== node;
      row.append(make("td", { colspan: "8", class: "left" }, isPeer ? "known by its messages only" : "not there yet"));
      return row;
    }
    const role = state.up ? state.role : "Down";
    row.append(make("td", { class: "left", title: state.conf }, make("span", { class: `badge ${role}` }, roleWord(role))));
    const term = make("span", { class: "term", style: `background:${termFill(state.term)}` }, String(state.term));
    row.append(make("td", {}, term));
    for (const field of /** @type {const} */ (["vote", "leader", "commit", "applied", "last"])) {
      const isNew = before !== null && before[field] !== state[field];
      const text = state[field] === 0 && (field === "vote" || field === "leader") ? "\u2013" : String(state[field]);
      row.append(make("td", { ...(isNew ? { class: "new" } : {}), "data-field": field }, text));
    }
    row.append(make("td", { class: "log-cell" }, this.log(state, range)));
    return row;
  }

  /** @param {State} state @param {{low: number, high: number, width: number}} range */
  log(state, range) {
    const log = make("div", { class: "log" });
    const numbers = this.timeline.logEntries(state.log);
    const { low, high, width } = range;
    if (state.first > 1 && state.first > low) {
      const end = Math.min(state.first - 1, high);
      const style = `left:0;width:${(end - low + 1) * width - 3}px`;
      log.append(make("em", { style, title: `compacted, or not known, up to ${state.first - 1}` }, (end - low + 1) * width > 56 ? `up to ${state.first - 1}` : ""));
    }
    if (state.last < low && state.last >= state.first) {
      log.append(make("em", { style: "left:0;padding:0 8px", title: "the log ends before what is shown here" }, `ends at ${state.last}`));
    }
    for (let index = Math.max(low, state.first); index <= Math.min(high, state.last); index++) {
      const entry = this.timeline.entries[numbers[index - state.first]];
      const kind = index > state.stable ? "unsaved" : index > state.commit ? "open" : "";
      const label = width >= 52 && entry.text ? `${entry.term} ${entry.text.replace(/^"|"$/g, "").trim()}` : String(entry.term);
      const notes = [index <= state.commit ? "committed" : "not committed", index > state.stable ? "not on disk" : ""];
      log.append(make("span", {
        class: kind, style: `${place(index, range)};--term:${termFill(entry.term)};background:${termFill(entry.term)}`,
        title: `${entry.index}: term ${entry.term} ${entry.type.replace("Entry", "")} ${entry.text}\n${notes.filter(Boolean).join(", ")}`,
      }, label));
    }
    if (state.commit >= low && state.commit <= high) {
      log.append(make("i", { style: `left:${(state.commit - low + 1) * width - 2}px`, title: `commit ${state.commit}` }));
    }
    if (state.applied >= low) {
      const end = Math.min(state.applied, high);
      log.append(make("i", { class: "applied", style: `left:0;width:${(end - low + 1) * width - 4}px`, title: `applied ${state.applied}` }));
    }
    return log;
  }
}

/** @param {number} index @param {{low: number, width: number}} range */
const place = (index, range) => `left:${(index - range.low) * range.width}px;width:${range.width - 3}px`;

class List {
  /** @param {HTMLElement} box @param {HTMLElement} space @param {Timeline} timeline @param {Theme} theme
   *  @param {(event: number) => void} choose */
  constructor(box, space, timeline, theme, choose) {
    this.box = box;
    this.space = space;
    this.timeline = timeline;
    this.theme = theme;
    this.choose = choose;
    /** @type {number[]} */
    this.shown = [];
    this.cursor = 0;
    box.addEventListener("scroll", () => this.draw(), { passive: true });
  }

  /** @param {number[]} shown the events that pass filter and search, in order */
  setShown(shown) {
    this.shown = shown;
    this.space.style.height = `${shown.length * ROW}px`;
  }

  /** @param {number} cursor */
  setCursor(cursor) {
    this.cursor = cursor;
    const at = lowerBound(this.shown, cursor);
    const top = at * ROW;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop + ROW || top > scrollTop + clientHeight - 2 * ROW) {
      this.box.scrollTop = Math.max(0, top - clientHeight / 2);
    }
    this.draw();
  }

  draw() {
    const { scrollTop, clientHeight } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - 4);
    const last = Math.min(this.shown.length - 1, Math.ceil((scrollTop + clientHeight) / ROW) + 4);
    const rows = [];
    for (let at = first; at <= last; at++) rows.push(this.row(this.timeline.events[this.shown[at]], at));
    if (this.shown.length === 0) rows.push(make("p", { class: "nothing" }, "No event matches. Esc clears the search."));
    this.space.replaceChildren(...rows);
  }

  /** @param {Event} event @param {number} at */
  row(event, at) {
    const isAlarm = ["crash", "lose", "violation", "fault"].includes(event.kind);
    const row = make("div", { class: `row ${event.number === this.cursor ? "cursor" : ""} ${isAlarm ? "alarm" : ""}`, style: `top:${at * ROW}px` });
    const sign = make("span", { class: "sign" }, SIGNS[event.kind] ?? "");
    if (event.message && !isAlarm) sign.style.color = this.theme.family[familyOf(event.message.type)];
    const facts = event.message ? messageFacts(event.message).join(", ") : "";
    row.append(
      make("span", { class: "number" }, String(event.number)),
      make("span", { class: "who" }, event.node === 0 ? "\u2217" : String(event.node)),
      sign,
      make("span", { class: "what" }, headline(event), make("span", { class: "dim" }, facts ? `  ${facts}` : "")),
    );
    row.addEventListener("click", () => this.choose(event.number));
    return row;
  }
}

/** First position whose value is at least `value`. @param {number[]} list @param {number} value */
function lowerBound(list, value) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

class Detail {
  /** @param {HTMLElement} box @param {Timeline} timeline @param {(event: number) => void} choose */
  constructor(box, timeline, choose) {
    this.box = box;
    this.timeline = timeline;
    this.choose = choose;
  }

  /** @param {number} cursor */
  draw(cursor) {
    const event = this.timeline.events[cursor];
    if (event === undefined) return;
    const section = this.timeline.sectionAt(cursor);
    const place = event.node === 0 ? "" : `, node ${event.node}`;
    const parts = [
      make("h2", {}, headline(event)),
      make("p", { class: "when" }, `${event.kind}${place}, ${when(this.timeline, event)}${section ? `, in ${section.title}` : ""}`),
    ];
    if (event.text && (event.message !== null || event.text.includes("\n"))) parts.push(make("p", {}, event.text));
    parts.push(...this.changes(event));
    if (event.message !== null) parts.push(...this.message(event.message));
    if (event.state !== null) parts.push(...this.followers(event.state));
    this.box.replaceChildren(...parts);
    this.box.scrollTop = 0;
  }

  /** What the event has changed of its node. @param {Event} event */
  changes(event) {
    const before = event.node === 0 ? null : this.timeline.stateAt(event.node, event.number - 1);
    const { state } = event;
    if (state === null || before === null || before === state) return [];
    const lines = [];
    for (const field of /** @type {const} */ (["role", "term", "vote", "leader", "first", "last", "stable", "commit", "applied", "conf"])) {
      if (before[field] === state[field]) continue;
      const name = { stable: "on disk up to", conf: "configuration", first: "first index", last: "last index" }[/** @type {string} */ (field)] ?? field;
      lines.push(make("dt", {}, name));
      lines.push(make("dd", { class: "change" }, `${before[field]} \u2192 `, make("b", {}, String(state[field]))));
    }
    return lines.length > 0 ? [make("dl", {}, ...lines)] : [];
  }

  /** @param {Message} m */
  message(m) {
    const list = make("dl");
    const say = (/** @type {string} */ name, /** @type {(string | Node)[]} */ ...value) =>
      list.append(make("dt", {}, name), make("dd", {}, ...value));
    const isOneSided = this.timeline.witness !== 0;
    say("sent", m.sent >= 0 ? this.link(m.sent) : isOneSided ? "not recorded" : "nobody saw it leave");
    for (const end of m.ends) {
      say({ receive: "received", refuse: "refused", lose: "lost" }[this.timeline.events[end].kind] ?? "", this.link(end));
    }
    if (m.ends.length === 0) say("received", isOneSided ? "not recorded" : "never");
    say("term", String(m.term));
    if (m.index || m.logTerm) say("log", m.logTerm ? `index ${m.index}, term ${m.logTerm}` : `index ${m.index}`);
    if (m.commit) say("commit", String(m.commit));
    if (m.reject) say("rejected", `hint ${m.hint}`);
    if (m.vote) say("vote", String(m.vote));
    if (m.context) say("context", m.context);
    if (m.snapshot) say("snapshot", m.snapshot);
    if (m.entries.length === 0) return [list];
    const entries = m.entries.slice(0, MOST_ENTRIES).map((entry) => {
      const term = make("span", { class: "term", style: `background:${termFill(entry.term)}` }, String(entry.term));
      const type = entry.type === "EntryNormal" ? "" : ` ${entry.type.replace("Entry", "")}`;
      return make("li", {}, term, ` ${entry.index}${type} ${entry.text}`);
    });
    if (m.entries.length > MOST_ENTRIES) entries.push(make("li", {}, `and ${m.entries.length - MOST_ENTRIES} more`));
    return [list, make("h3", {}, m.entries.length === 1 ? "1 entry" : `${m.entries.length} entries`), make("ol", {}, ...entries)];
  }

  /** @param {State} state */
  followers(state) {
    if (state.followers.length === 0) return [make("h3", {}, "configuration"), make("p", {}, state.conf)];
    const rows = state.followers.map((one) => make("li", {}, `${one.id}: ${one.state}, match ${one.match}, next ${one.next}`));
    return [make("h3", {}, "configuration"), make("p", {}, state.conf), make("h3", {}, "what this leader knows"), make("ol", {}, ...rows)];
  }

  /** @param {number} event */
  link(event) {
    const link = make("a", { href: `#event=${event}` }, `event ${event}`);
    link.addEventListener("click", (click) => {
      click.preventDefault();
      this.choose(event);
    });
    const span = make("span", {}, link);
    if (this.timeline.momentsPerTick > 0) span.append(`, ${when(this.timeline, this.timeline.events[event])}`);
    return span;
  }
}
