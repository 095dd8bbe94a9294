// Words, signs and families: how events and messages are told, and what belongs together.

/** By message type: the family, which has a colour, and whether it is an answer, which is dashed.
 * @type {Record<string, [string, boolean]>} */
const FAMILIES = {
  MsgApp: ["append", false], MsgAppResp: ["append", true], MsgHeartbeat: ["heartbeat", false],
  MsgHeartbeatResp: ["heartbeat", true], MsgVote: ["vote", false], MsgVoteResp: ["vote", true],
  MsgPreVote: ["vote", false], MsgPreVoteResp: ["vote", true], MsgSnap: ["snapshot", false],
  MsgReadIndex: ["read", false], MsgReadIndexResp: ["read", true], MsgProp: ["proposal", false],
  MsgTransferLeader: ["transfer", false], MsgTimeoutNow: ["transfer", false],
};

const FAMILY_NAMES = {
  append: "appends", heartbeat: "heartbeats", vote: "elections", snapshot: "snapshots", read: "reads",
  proposal: "forwarded proposals", transfer: "leadership transfer",
};

/** @param {string} type */
const familyOf = (type) => (FAMILIES[type] ?? ["transfer", false])[0];
/** @param {string} type */
const isAnswer = (type) => (FAMILIES[type] ?? ["transfer", false])[1];

/** Groups of kinds that one chip shows or hides; messages have chips of their own. */
const KIND_GROUPS = [
  ["requests", "request"], ["ready", "ready"], ["writes", "write"], ["applied", "apply"], ["ticks", "tick"],
  ["answers", "answer"], ["snapshots", "snapshot"], ["starts", "start"], ["crashes", "crash"], ["faults", "fault"],
  ["notes", "note"],
];

/** @type {Record<string, string>} */
const SIGNS = {
  start: "\u25b6", crash: "\u2715", tick: "\u00b7", request: "\u25c6", send: "\u2197", receive: "\u2198", refuse: "\u2298",
  lose: "\u2715", ready: "\u25cb", write: "\u25bc", apply: "\u25a0", snapshot: "\u25a3", answer: "\u2713", fault: "\u26a0",
  note: "\u2013", violation: "\u203c",
};

/** @param {string} type */
const shortType = (type) => type.replace(/^Msg/, "");

/** A few characters for an arrow. @param {Message} m */
function arrowLabel(m) {
  const name = shortType(m.type);
  switch (m.type) {
    case "MsgApp": return m.entries.length > 0 ? `App ${m.logTerm}/${m.index} +${m.entries.length}` : `App ${m.logTerm}/${m.index}`;
    case "MsgAppResp": return m.reject ? `AppResp no, ${m.hint}` : `AppResp ${m.index}`;
    case "MsgVoteResp": case "MsgPreVoteResp": return `${name} ${m.reject ? "no" : "yes"}`;
    case "MsgVote": case "MsgPreVote": return `${name} t${m.term}`;
    case "MsgSnap": return `Snap ${(/Index:(\d+)/.exec(m.snapshot) ?? ["", ""])[1]}`;
    default: return name;
  }
}

/** What is worth saying about a message, beside its type and its ends. @param {Message} m */
function messageFacts(m) {
  const facts = [`term ${m.term}`];
  if (m.index || m.logTerm) facts.push(m.logTerm ? `log ${m.logTerm}/${m.index}` : `log ${m.index}`);
  if (m.entries.length > 0) facts.push(`${m.entries.length} ${m.entries.length === 1 ? "entry" : "entries"}`);
  if (m.commit) facts.push(`commit ${m.commit}`);
  if (m.reject) facts.push(`rejected, hint ${m.hint}`);
  if (m.context) facts.push(m.context);
  if (m.snapshot) facts.push("snapshot");
  return facts;
}

/** @type {Record<string, string>} */
const MESSAGE_VERBS = { send: "sends", receive: "receives", refuse: "refuses", lose: "misses" };

/** One line about an event. @param {Event} event */
function headline(event) {
  const m = event.message;
  if (m === null) return event.text.split("\n")[0] || event.kind;
  return `${m.from} \u2192 ${m.to} ${m.type}${event.kind === "lose" ? " lost" : event.kind === "refuse" ? " refused" : ""}`;
}

/** A moment as people say it. @param {Timeline} timeline @param {Event} event */
function when(timeline, event) {
  const count = timeline.momentsPerTick > 0 ? (event.moment / timeline.momentsPerTick).toFixed(2) : event.moment;
  return `${timeline.unit} ${count}`;
}

/** Everything a search looks at, in lower case. @param {Event} event */
function haystack(event) {
  const m = event.message;
  const about = m === null ? "" : `${m.type} ${m.from}->${m.to} ${messageFacts(m).join(" ")} ${m.entries.map((e) => e.text).join(" ")}`;
  return `${event.kind} ${headline(event)} ${event.text} ${about}`.toLowerCase();
}

/** @type {Record<string, (event: Event, value: string) => boolean>} */
const FIELDS_OF_SEARCH = {
  node: (event, value) => String(event.node) === value,
  kind: (event, value) => event.kind.startsWith(value),
  type: (event, value) => event.message !== null && shortType(event.message.type).toLowerCase() === value.replace(/^msg/, ""),
  from: (event, value) => event.message !== null && String(event.message.from) === value,
  to: (event, value) => event.message !== null && String(event.message.to) === value,
  term: (event, value) => String(event.message?.term ?? event.state?.term ?? "") === value,
  role: (event, value) => event.state !== null && event.state.role.toLowerCase().startsWith(value),
};

/** Whether an event has all the words, and all `field:value`. @param {string} query @returns {?(event: Event) => boolean} */
function matcher(query) {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "" && !/^#\d*$/.test(word));
  if (words.length === 0) return null;
  return (event) => {
    let text = "";
    return words.every((word) => {
      const [field, value] = word.split(":", 2);
      if (value !== undefined && field in FIELDS_OF_SEARCH) return value === "" || FIELDS_OF_SEARCH[field](event, value);
      text ||= haystack(event);
      return text.includes(word);
    });
  };
}

/** Make an element. Text goes in as text, never as markup.
 * @param {string} tag @param {Record<string, string>} attributes @param {...(string | Node)} children */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
