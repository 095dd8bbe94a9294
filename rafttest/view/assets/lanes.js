// The lanes: one row a node, time from left to right, messages as arrows. Only what is in view is drawn.
//
// Colour says the term, thickness and pattern say the role:   follower ──   candidate ▨▨   leader ██   down ┄┄

const GUTTER = 126;
const RULER = 24;

/** @typedef {{arrows: number, crashes: number, losses: number, signs: number, labels: number, bars: number}} Drawn */

class Lanes {
  /** @param {HTMLCanvasElement} canvas @param {Timeline} timeline @param {Axis} axis @param {Theme} theme */
  constructor(canvas, timeline, axis, theme) {
    this.canvas = canvas;
    this.timeline = timeline;
    this.axis = axis;
    this.theme = theme;
    /** How far down the lanes are scrolled, where they do not fit. */
    this.top = 0;
    /** @type {?Arrow} */
    this.hovered = null;
    this.arrows = new Arrows(this);
    this.signs = new Signs(this);
    this.ruler = new Ruler(this);
    /** @type {Drawn} */
    this.drawn = { arrows: 0, crashes: 0, losses: 0, signs: 0, labels: 0, bars: 0 };
    this.rows = new Map(timeline.nodes.map((node, row) => [node, row]));
    const talkers = new Set(timeline.messages.flatMap((m) => [m.from, m.to]));
    /** How high a lane is, against the others: those who never send nor receive get little. */
    this.weights = timeline.nodes.map((node) => (talkers.has(node) || talkers.size === 0 ? 1 : 0.45));
    /** Where each lane begins, in lane heights, and the end of the last. */
    this.begins = [0];
    for (const weight of this.weights) this.begins.push(/** @type {number} */ (this.begins.at(-1)) + weight);
    this.hasWorld = timeline.events.some((event) => event.node === 0);
  }

  /** @param {number} cursor @param {Uint8Array} visible which events are neither filtered out nor unlike the search */
  draw(cursor, visible) {
    const { pen, width, height } = fitCanvas(this.canvas);
    this.pen = pen;
    this.width = width;
    this.height = height;
    this.cursor = cursor;
    this.visible = visible;
    this.axis.width = width - GUTTER;
    this.drawn = { arrows: 0, crashes: 0, losses: 0, signs: 0, labels: 0, bars: 0 };
    this.head = RULER + (this.hasWorld ? 24 : 0);
    this.laneHeight = Math.max(56, Math.min(190, (height - this.head - 4) / Math.max(1, this.end)));
    this.keepLaneInView();
    pen.clearRect(0, 0, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(0, this.head, width, height - this.head);
    pen.clip();
    this.drawGround();
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER, height);
    pen.clip();
    pen.translate(GUTTER, 0);
    this.drawSeparators();
    /** @type {(() => void)[]} */
    this.barTexts = [];
    for (const node of this.timeline.nodes) this.drawBars(node);
    this.arrows.draw();
    this.signs.draw();
    for (const write of this.barTexts) write();
    this.drawCursor();
    this.arrows.drawLabels();
    pen.restore();
    this.drawGutter();
    pen.restore();
    this.ruler.draw();
  }

  /** Where the middle of a node's lane is. @param {number} node */
  y(node) {
    const row = this.rows.get(node) ?? 0;
    return this.head + (this.begins[row] + 0.5 * (this.weights[row] ?? 1)) * this.laneHeight - this.top;
  }

  /** The height of a node's lane. @param {number} node */
  heightOf(node) {
    return (this.weights[this.rows.get(node) ?? 0] ?? 1) * this.laneHeight;
  }

  /** All lanes together, in lane heights. */
  get end() {
    return /** @type {number} */ (this.begins.at(-1));
  }

  /** @param {number} delta */
  scroll(delta) {
    this.top += delta;
    this.held = this.cursor;
  }

  keepLaneInView() {
    const all = this.end * this.laneHeight;
    const room = this.height - this.head;
    const row = this.rows.get(this.timeline.events[this.cursor]?.node);
    if (row !== undefined && this.held !== this.cursor) {
      this.top = Math.max(this.begins[row + 1] * this.laneHeight - room, Math.min(this.top, this.begins[row] * this.laneHeight));
      this.held = this.cursor;
    }
    this.top = Math.max(0, Math.min(this.top, all - room));
  }

  drawGround() {
    const { pen, theme } = this;
    for (const [node, row] of this.rows) {
      pen.fillStyle = row % 2 === 0 ? theme.lane : theme.lane2;
      pen.fillRect(0, this.y(node) - this.heightOf(node) / 2, this.width, this.heightOf(node));
    }
  }

  drawSeparators() {
    const { pen, theme, axis } = this;
    for (let n = axis.low; this.hasWorld && n <= axis.high; n++) {
      if (this.timeline.events[n].node !== 0) continue;
      pen.fillStyle = this.timeline.events[n].kind === "violation" ? theme.alarm : theme.hatch;
      pen.fillRect(axis.x(n) - 0.75, this.head, 1.5, this.height);
    }
    pen.strokeStyle = theme.line;
    pen.lineWidth = 1;
    let last = -100;
    for (const section of this.timeline.sections) {
      const x = Math.round(this.edge(section.start)) + 0.5;
      if (x < 0 || x > axis.width || x - last < 14) continue;
      last = x;
      pen.beginPath();
      pen.moveTo(x, this.head);
      pen.lineTo(x, this.height);
      pen.stroke();
    }
  }

  /** Left of an event, half way to the one before. @param {number} event */
  edge(event) {
    return event === 0 ? this.axis.x(0) - this.axis.scale / 2 : (this.axis.x(event - 1) + this.axis.x(event)) / 2;
  }

  /** @param {number} node */
  drawBars(node) {
    const stretches = this.timeline.stretches.get(node) ?? [];
    const { axis } = this;
    if (stretches.length === 0) this.drawPeerLine(node);
    const first = Math.max(0, lastAtMost(stretches, axis.low));
    for (let at = first; at < stretches.length && stretches[at].start <= axis.high + 1; at++) {
      const begin = axis.x(stretches[at].start);
      const next = stretches[at + 1];
      const end = next ? axis.x(next.start) : Math.max(axis.x(axis.count - 1) + axis.scale / 2, begin + 2);
      const from = Math.max(-20, begin);
      const to = Math.min(axis.width + 20, end);
      if (to <= from) continue;
      this.drawn.bars += 1;
      this.drawBar(stretches[at].state, from, Math.max(to, from + 0.75), this.y(node));
      const { state } = stretches[at];
      if (to - from > 46 && state.up) this.barTexts.push(() => this.drawBarText(state, begin, end, this.y(node)));
    }
  }

  /** A node of which only messages are known. @param {number} node */
  drawPeerLine(node) {
    const { pen, theme, axis } = this;
    pen.fillStyle = theme.hatch;
    pen.fillRect(0, this.y(node) - 0.75, axis.width, 1.5);
  }

  /** @param {State} state @param {number} from @param {number} to @param {number} y */
  drawBar(state, from, to, y) {
    const { pen, theme } = this;
    if (!state.up) {
      pen.strokeStyle = theme.hatch;
      pen.lineWidth = 2;
      pen.setLineDash([3, 5]);
      pen.beginPath();
      pen.moveTo(from, y);
      pen.lineTo(to, y);
      pen.stroke();
      pen.setLineDash([]);
      return;
    }
    const half = barHalf(state);
    pen.fillStyle = termFill(state.term);
    if (state.role === "Follower" || state.role === "Leader" || to - from < 4) {
      pen.fillRect(from, y - half, to - from, 2 * half);
      if (state.role === "Leader" && to - from > 3) {
        pen.fillStyle = theme.ink;
        pen.fillRect(from, y - half - 2, to - from, 2);
        pen.fillRect(from, y + half, to - from, 2);
      }
      return;
    }
    pen.save();
    pen.beginPath();
    pen.rect(from, y - half, to - from, 2 * half);
    pen.clip();
    pen.globalAlpha = 0.4;
    pen.fillRect(from, y - half, to - from, 2 * half);
    pen.globalAlpha = 1;
    pen.strokeStyle = theme.ink;
    pen.lineWidth = state.role === "Candidate" ? 2.5 : 1;
    pen.beginPath();
    const step = 7;
    for (let x = Math.floor(from / step) * step - 2 * half; x < to; x += step) {
      pen.moveTo(x, y + half);
      pen.lineTo(x + 2 * half, y - half);
    }
    pen.stroke();
    pen.restore();
  }

  /** The term at the beginning of a stretch, or at the left edge. @param {State} state @param {number} begin @param {number} end @param {number} y */
  drawBarText(state, begin, end, y) {
    const { pen, theme } = this;
    const text = state.role === "Leader" ? `leader, term ${state.term}` : `term ${state.term}`;
    pen.font = `600 11px ${theme.sans}`;
    const width = pen.measureText(text).width;
    const x = Math.max(begin, 0) + 8;
    if (x + width + 8 > end) return;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    if (state.role === "Leader") {
      pen.fillStyle = termFill(state.term);
      pen.fillRect(x - 4, y - 8, width + 8, 16);
      pen.fillStyle = theme.onTerm;
      pen.fillText(text, x, y + 0.5);
    } else {
      pen.strokeStyle = theme.lane;
      pen.lineWidth = 3;
      pen.strokeText(text, x, y - barHalf(state) - 9);
      pen.fillStyle = theme.ink2;
      pen.fillText(text, x, y - barHalf(state) - 9);
    }
  }

  /** @param {number} x @param {number} y @param {number} size @param {number} weight */
  cross(x, y, size, weight) {
    const { pen, theme } = this;
    pen.strokeStyle = theme.alarm;
    pen.lineWidth = weight;
    pen.beginPath();
    pen.moveTo(x - size, y - size);
    pen.lineTo(x + size, y + size);
    pen.moveTo(x + size, y - size);
    pen.lineTo(x - size, y + size);
    pen.stroke();
  }

  drawCursor() {
    const { pen, theme, axis, timeline } = this;
    const event = timeline.events[this.cursor];
    if (event === undefined) return;
    const x = axis.x(this.cursor);
    pen.strokeStyle = theme.accent;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x, this.head);
    pen.lineTo(x, this.height);
    pen.stroke();
    if (event.node !== 0) {
      pen.lineWidth = 2.5;
      pen.beginPath();
      pen.arc(x, this.y(event.node), 13, 0, 7);
      pen.stroke();
    }
  }

  drawGutter() {
    const { pen, theme } = this;
    pen.fillStyle = theme.paper;
    pen.fillRect(0, this.head, GUTTER, this.height - this.head);
    pen.fillStyle = theme.line;
    pen.fillRect(GUTTER - 1, this.head, 1, this.height - this.head);
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (const node of this.timeline.nodes) {
      const y = this.y(node);
      const state = this.timeline.stateAt(node, this.cursor);
      pen.fillStyle = theme.line;
      pen.fillRect(0, Math.round(y + this.heightOf(node) / 2) - 1, GUTTER, 1);
      pen.fillStyle = state && state.up ? theme.ink : theme.ink3;
      pen.font = `650 16px ${theme.sans}`;
      pen.fillText(String(node), 14, y);
      const x = 22 + pen.measureText(String(node)).width;
      if (state === null) {
        pen.font = `12px ${theme.sans}`;
        if (this.timeline.witness !== 0) pen.fillText("peer", x, y);
        continue;
      }
      pen.font = `${state.role === "Leader" ? "600 " : ""}12px ${theme.sans}`;
      pen.fillStyle = !state.up ? theme.alarm : state.role === "Follower" ? theme.ink2 : theme.ink;
      pen.fillText(state.up ? roleWord(state.role) : "down", x, y - 7);
      pen.font = `11px ${theme.sans}`;
      pen.fillStyle = termFill(state.term);
      pen.fillRect(x, y + 3, 9, 9);
      pen.fillStyle = theme.ink3;
      pen.fillText(`term ${state.term}`, x + 13, y + 8);
    }
  }

  /** The arrow near a point, or the event of a lane. @param {number} x @param {number} y @returns {{arrow?: Arrow, event?: number}} */
  find(x, y) {
    const inside = x - GUTTER;
    let best = 6;
    /** @type {?Arrow} */
    let arrow = null;
    for (const line of this.arrows.lines) {
      const distance = distanceTo(line, inside, y);
      if (distance < best) {
        best = distance;
        arrow = line.arrow;
      }
    }
    if (arrow !== null) return { arrow };
    const depth = (y - this.head + this.top) / this.laneHeight;
    const row = this.begins.findLastIndex((begin) => begin <= depth);
    const node = y < this.head ? 0 : this.timeline.nodes[row];
    let event = -1;
    let nearest = 14;
    const low = this.axis.firstAt(inside - 14);
    const high = Math.min(this.axis.count - 1, this.axis.firstAt(inside + 14));
    for (let n = low; n <= high; n++) {
      const distance = Math.abs(this.axis.x(n) - inside);
      if (this.timeline.events[n].node === node && this.visible?.[n] === 1 && distance < nearest) {
        nearest = distance;
        event = n;
      }
    }
    return event < 0 ? {} : { event };
  }
}

/** Half the thickness of a lane's bar. @param {?State} state */
function barHalf(state) {
  if (state === null || !state.up) return 2;
  return state.role === "Leader" ? 10 : state.role === "Follower" ? 3.5 : 7;
}

/** @param {string} role */
const roleWord = (role) => (role === "PreCandidate" ? "pre-candidate" : role.toLowerCase());
