// The timeline as objects. What the encoder wrote once and numbered is put back in its places.

/** @typedef {{term: number, index: number, type: string, text: string}} Entry */
/** @typedef {{number: number, type: string, from: number, to: number, term: number, logTerm: number, index: number,
 *   commit: number, reject: number, hint: number, vote: number, context: string, snapshot: string, entries: Entry[],
 *   sent: number, ends: number[]}} Message  `sent`: the event, or -1; `ends`: events that received or lost it */
/** @typedef {{id: number, match: number, next: number, state: string}} Follower */
/** @typedef {{up: boolean, role: string, term: number, vote: number, leader: number, commit: number, applied: number,
 *   stable: number, first: number, last: number, conf: string, log: number, followers: Follower[]}} State */
/** @typedef {{number: number, kind: string, moment: number, node: number, text: string, message: ?Message,
 *   state: ?State}} Event */
/** @typedef {{message: Message, from: number, to: number, kind: string}} Arrow  from or to is -1 if nobody saw it */
/** @typedef {{start: number, state: State}} Stretch  from event `start` on */

const ENDS = new Set(["receive", "refuse", "lose"]);
const BUCKET = 128;

class Timeline {
  /** @param {any} data what encoding.py wrote */
  constructor(data) {
    this.title = data.title;
    /** What moments count: "tick", "command" or "input". @type {string} */
    this.unit = data.unit;
    /** The only node that saw anything, or 0. @type {number} */
    this.witness = data.witness;
    this.momentsPerTick = data.momentsPerTick;
    /** @type {[string, string][]} */
    this.facts = data.facts;
    /** @type {number[]} */
    this.nodes = data.nodes;
    this.data = data;
    const read = (/** @type {string} */ table) => data[table].map(reader(data.fields[table]));
    /** @type {Entry[]} */
    this.entries = read("entries").map((/** @type {any} */ one) => ({ ...one, type: data.strings[one.type] }));
    /** @type {Message[]} */
    this.messages = read("messages").map((/** @type {any} */ one, /** @type {number} */ number) => ({
      ...one, number, type: data.strings[one.type], context: data.strings[one.context],
      snapshot: data.strings[one.snapshot], entries: this.expand(one.entries), sent: -1, ends: [],
    }));
    const follower = reader(data.fields.followers);
    this.logRows = read("logs");
    /** @type {State[]} */
    this.states = read("states").map((/** @type {any} */ one) => ({
      ...one, up: one.up === 1, role: data.strings[one.role], conf: data.strings[one.conf], last: 0,
      followers: one.followers.map(follower).map((/** @type {any} */ f) => ({ ...f, state: data.strings[f.state] })),
    }));
    /** @type {Event[]} */
    this.events = read("events").map((/** @type {any} */ one, /** @type {number} */ number) => ({
      number, kind: data.strings[one.kind], moment: one.moment, node: one.node, text: data.strings[one.text],
      message: this.messages[one.message] ?? null, state: this.states[one.state] ?? null,
    }));
    /** @type {{start: number, title: string, comment: string}[]} */
    this.sections = read("sections").map((/** @type {any} */ one) => ({ ...one, start: one.event }));
    this.lengths = this.measureLogs();
    for (const state of this.states) state.last = state.first + this.lengths[state.log] - 1;
    this.connect();
    this.gatherStretches();
    /** @type {Map<number, number[]>} */
    this.logCache = new Map();
  }

  /** @param {[number, number][]} runs @returns {Entry[]} */
  expand(runs) {
    return runs.flatMap(([first, count]) => this.entries.slice(first, first + count));
  }

  /** How many entries each log has; a log's parent comes before it. */
  measureLogs() {
    /** @type {number[]} */
    const lengths = [];
    for (const { first, keep, runs } of this.logRows) {
      const added = runs.reduce((/** @type {number} */ sum, /** @type {number[]} */ run) => sum + run[1], 0);
      lengths.push(added + Math.max(0, keep - first + 1));
    }
    return lengths;
  }

  connect() {
    for (const event of this.events) {
      if (event.message === null) continue;
      if (event.kind === "send") event.message.sent = event.number;
      else if (ENDS.has(event.kind)) event.message.ends.push(event.number);
    }
    /** @type {Arrow[]} */
    this.arrows = [];
    for (const message of this.messages) {
      for (const end of message.ends) {
        this.arrows.push({ message, from: message.sent, to: end, kind: this.events[end].kind });
      }
      if (message.ends.length === 0) this.arrows.push({ message, from: message.sent, to: -1, kind: "open" });
    }
    /** @type {Arrow[][]} */
    this.buckets = Array.from({ length: Math.ceil(this.events.length / BUCKET) + 1 }, () => []);
    for (const arrow of this.arrows) {
      const low = arrow.from < 0 ? arrow.to : arrow.from;
      const high = arrow.to < 0 ? arrow.from : arrow.to;
      for (let at = Math.floor(low / BUCKET); at <= Math.floor(high / BUCKET); at++) this.buckets[at].push(arrow);
    }
  }

  /** Arrows that touch the events [low, high], each once. @param {number} low @param {number} high @returns {Set<Arrow>} */
  arrowsWithin(low, high) {
    /** @type {Set<Arrow>} */
    const found = new Set();
    const end = Math.min(this.buckets.length - 1, Math.floor(high / BUCKET));
    for (let at = Math.max(0, Math.floor(low / BUCKET)); at <= end; at++) {
      for (const arrow of this.buckets[at]) {
        const from = arrow.from < 0 ? arrow.to : arrow.from;
        const to = arrow.to < 0 ? arrow.from : arrow.to;
        if (from <= high && to >= low) found.add(arrow);
      }
    }
    return found;
  }

  gatherStretches() {
    /** By node, in order: every state it had. @type {Map<number, Stretch[]>} */
    this.history = new Map(this.nodes.map((node) => [node, []]));
    /** By node: only changes of what a lane shows. @type {Map<number, Stretch[]>} */
    this.stretches = new Map(this.nodes.map((node) => [node, []]));
    for (const event of this.events) {
      const history = this.history.get(event.node);
      const stretches = this.stretches.get(event.node);
      if (event.state === null || history === undefined || stretches === undefined) continue;
      const stretch = { start: event.number, state: event.state };
      if (history.at(-1)?.state !== event.state) history.push(stretch);
      const before = stretches.at(-1)?.state;
      if (!before || before.role !== event.state.role || before.term !== event.state.term || before.up !== event.state.up) {
        stretches.push(stretch);
      }
    }
  }

  /** What a node looks like after an event; null before its first. @param {number} node @param {number} event */
  stateAt(node, event) {
    const history = this.history.get(node) ?? [];
    const at = lastAtMost(history, event);
    return at < 0 ? null : history[at].state;
  }

  /** The entries of a log, by their numbers. @param {number} log @returns {number[]} */
  logEntries(log) {
    /** @type {number[]} */
    const chain = [];
    let at = log;
    while (at >= 0 && !this.logCache.has(at)) {
      chain.push(at);
      at = this.logRows[at].parent;
    }
    /** @type {number[]} */
    let entries = at >= 0 ? /** @type {number[]} */ (this.logCache.get(at)) : [];
    for (const number of chain.reverse()) {
      const { parent, first, keep, runs } = this.logRows[number];
      const offset = parent < 0 ? 0 : this.logRows[parent].first;
      entries = keep >= first ? entries.slice(first - offset, keep - offset + 1) : [];
      for (const [from, count] of runs) for (let n = from; n < from + count; n++) entries.push(n);
    }
    if (this.logCache.size > 64) this.logCache.clear();
    this.logCache.set(log, entries);
    return entries;
  }

  /** The last section that begins at or before an event. @param {number} event */
  sectionAt(event) {
    const at = lastAtMost(this.sections, event);
    return at < 0 ? null : this.sections[at];
  }

  /** The last comment that was made up to an event. @param {number} event */
  commentAt(event) {
    const said = this.sections.filter((one) => one.comment && one.start <= event);
    return said.length > 0 ? said[said.length - 1].comment : "";
  }
}

/** @param {string[]} fields @returns {(row: any[]) => any} */
function reader(fields) {
  return (row) => Object.fromEntries(fields.map((field, at) => [field, row[at]]));
}

/** Position of the last one that starts at or before `event`; -1 if none. @param {{start: number}[]} list @param {number} event */
function lastAtMost(list, event) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].start <= event) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
