// The lanes: one row a node, time from left to right, messages as arrows. Only what is in view is drawn.
//
// Colour says the term, thickness and pattern say the role:   follower ──   candidate ▨▨   leader ██   down ┄┄

const GUTTER = 126;
const RULER = 24;
const MOST_ARROWS = 2600;

/** @typedef {{arrows: number, crashes: number, losses: number, signs: number, labels: number, bars: number}} Drawn */
/** @typedef {{x1: number, y1: number, x2: number, y2: number, arrow: Arrow}} Line */

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
    /** @type {Line[]} */
    this.lines = [];
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
    this.drawArrows();
    this.drawSigns();
    for (const write of this.barTexts) write();
    this.drawCursor();
    this.drawLabels();
    pen.restore();
    this.drawGutter();
    pen.restore();
    this.drawRuler();
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

  drawArrows() {
    const { pen, axis, timeline } = this;
    const margin = Math.ceil(60 / axis.scale);
    let arrows = [...timeline.arrowsWithin(axis.low - margin, axis.high + margin)];
    this.hidden = 0;
    if (arrows.length > MOST_ARROWS) {
      const rare = ["vote", "snapshot", "transfer"];
      const few = arrows.filter((arrow) => arrow.kind === "lose" || rare.includes(familyOf(arrow.message.type)));
      const kept = few.length > MOST_ARROWS ? few.filter((_, at) => at % Math.ceil(few.length / MOST_ARROWS) === 0) : few;
      this.hidden = arrows.length - kept.length;
      arrows = kept;
    }
    const strong = arrows.length < 400 ? 0.9 : arrows.length < 1200 ? 0.55 : 0.35;
    const others = timeline.events[this.cursor]?.message ? 0.6 : 1;
    this.lines = [];
    for (const arrow of arrows) {
      const line = this.lineOf(arrow);
      if (Math.max(line.x1, line.x2) < 0 || Math.min(line.x1, line.x2) > axis.width) continue;
      const isCursor = arrow.from === this.cursor || arrow.to === this.cursor || arrow === this.hovered;
      const isVisible = this.isShown(arrow);
      if (!isVisible && !isCursor) {
        if (this.searching) this.stroke(line, 0.07, false);
        continue;
      }
      this.lines.push(line);
      this.drawn.arrows += 1;
      this.stroke(line, isCursor ? 1 : strong * others, isCursor);
    }
    pen.globalAlpha = 1;
  }

  /** @param {Arrow} arrow */
  isShown(arrow) {
    return (arrow.from >= 0 && this.visible[arrow.from] === 1) || (arrow.to >= 0 && this.visible[arrow.to] === 1);
  }

  /** @param {Arrow} arrow @returns {Line} */
  lineOf(arrow) {
    const { message } = arrow;
    const receiver = arrow.to < 0 ? message.to : this.timeline.events[arrow.to].node;
    const fromState = this.timeline.stateAt(message.from, arrow.from < 0 ? arrow.to : arrow.from);
    const toState = this.timeline.stateAt(receiver, arrow.to < 0 ? arrow.from : arrow.to);
    const down = this.y(receiver) > this.y(message.from) ? 1 : -1;
    let x1 = arrow.from < 0 ? 0 : this.axis.x(arrow.from);
    let y1 = this.y(message.from) + down * (barHalf(fromState) + 2);
    let x2 = arrow.to < 0 ? 0 : this.axis.x(arrow.to);
    let y2 = this.y(receiver) - down * (barHalf(toState) + 3);
    if (arrow.from < 0) {
      x1 = x2 - 18;
      if (this.timeline.witness === 0) y1 = y2 - down * 26;
    } else if (arrow.to < 0) {
      x2 = x1 + (this.timeline.witness === 0 ? 22 : 18);
      if (this.timeline.witness === 0) y2 = y1 + down * 22;
    } else if (arrow.kind === "lose") {
      x2 = x1 + (x2 - x1) * 0.72;
      y2 = y1 + (y2 - y1) * 0.72;
    }
    return { x1, y1, x2, y2, arrow };
  }

  /** @param {Line} line @param {number} alpha @param {boolean} isCursor */
  stroke(line, alpha, isCursor) {
    const { pen, theme } = this;
    const { message, kind } = line.arrow;
    const isLost = kind === "lose";
    const colour = theme.family[familyOf(message.type)];
    pen.globalAlpha = familyOf(message.type) === "heartbeat" && !isCursor ? alpha * 0.7 : alpha;
    pen.strokeStyle = colour;
    pen.lineWidth = isCursor ? 2.75 : familyOf(message.type) === "snapshot" ? 2.5 : 1.25;
    pen.setLineDash(isAnswer(message.type) ? [5, 3] : familyOf(message.type) === "heartbeat" ? [1.5, 3] : []);
    pen.beginPath();
    pen.moveTo(line.x1, line.y1);
    pen.lineTo(line.x2, line.y2);
    pen.stroke();
    pen.setLineDash([]);
    if (this.axis.scale < 1.5 && !isCursor) {
      if (isLost && alpha > 0.1) this.cross(line.x2, line.y2, 2, 1);
      return;
    }
    if (isLost) {
      this.cross(line.x2, line.y2, isCursor ? 6 : 4.5, 2);
    } else if (kind === "open" && this.timeline.witness === 0) {
      pen.beginPath();
      pen.arc(line.x2, line.y2, 3, 0, 7);
      pen.stroke();
    } else {
      this.tip(line, kind === "refuse", colour, isCursor ? 9 : 7);
    }
  }

  /** @param {number} x @param {number} y @param {number} size @param {number} weight */
  cross(x, y, size, weight) {
    const { pen, theme } = this;
    this.drawn.losses += 1;
    pen.strokeStyle = theme.alarm;
    pen.lineWidth = weight;
    pen.beginPath();
    pen.moveTo(x - size, y - size);
    pen.lineTo(x + size, y + size);
    pen.moveTo(x + size, y - size);
    pen.lineTo(x - size, y + size);
    pen.stroke();
  }

  /** @param {Line} line @param {boolean} isHollow @param {string} colour @param {number} size */
  tip(line, isHollow, colour, size) {
    const { pen, theme } = this;
    const angle = Math.atan2(line.y2 - line.y1, line.x2 - line.x1);
    pen.beginPath();
    pen.moveTo(line.x2, line.y2);
    pen.lineTo(line.x2 - size * Math.cos(angle - 0.38), line.y2 - size * Math.sin(angle - 0.38));
    pen.lineTo(line.x2 - size * Math.cos(angle + 0.38), line.y2 - size * Math.sin(angle + 0.38));
    pen.closePath();
    pen.fillStyle = isHollow ? theme.paper : colour;
    pen.fill();
    if (isHollow) pen.stroke();
  }

  drawSigns() {
    const { axis, timeline } = this;
    const isNear = axis.scale >= 5;
    for (let n = axis.low; n <= axis.high; n++) {
      const event = timeline.events[n];
      if (event.node === 0) continue;
      const isLoud = event.kind === "crash" || event.kind === "start";
      if (!isLoud && (!isNear || this.visible[n] === 0 || event.message !== null)) continue;
      if (this.visible[n] === 0 && n !== this.cursor) continue;
      this.drawn.signs += 1;
      this.drawSign(event, axis.x(n), this.y(event.node));
    }
  }

  /** @param {Event} event @param {number} x @param {number} y */
  drawSign(event, x, y) {
    const { pen, theme } = this;
    pen.fillStyle = theme.ink;
    pen.strokeStyle = theme.paper;
    pen.lineWidth = 1.5;
    const half = barHalf(event.state);
    pen.beginPath();
    switch (event.kind) {
      case "crash":
        this.drawn.crashes += 1;
        pen.fillStyle = theme.paper;
        pen.arc(x, y, 8, 0, 7);
        pen.fill();
        this.drawn.losses -= 1;
        this.cross(x, y, 6, 3);
        return;
      case "start":
        pen.fillStyle = theme.good;
        pen.moveTo(x - 5, y - 7);
        pen.lineTo(x + 7, y);
        pen.lineTo(x - 5, y + 7);
        pen.closePath();
        break;
      case "request":
        pen.fillStyle = theme.family.proposal;
        pen.moveTo(x, y - half - 10);
        pen.lineTo(x + 5, y - half - 5);
        pen.lineTo(x, y - half);
        pen.lineTo(x - 5, y - half - 5);
        pen.closePath();
        break;
      case "apply": pen.rect(x - 3, y + half + 3, 6, 6); pen.fillStyle = theme.good; break;
      case "write": pen.moveTo(x - 4.5, y + half + 3); pen.lineTo(x + 4.5, y + half + 3); pen.lineTo(x, y + half + 10);
        pen.closePath(); pen.fillStyle = theme.ink2; break;
      case "snapshot": pen.rect(x - 6, y - 6, 12, 12); pen.fillStyle = theme.family.snapshot; break;
      case "fault": pen.moveTo(x, y - 8); pen.lineTo(x + 7, y + 6); pen.lineTo(x - 7, y + 6); pen.closePath();
        pen.fillStyle = theme.alarm; break;
      case "ready": pen.arc(x, y, 2.5, 0, 7); pen.fillStyle = theme.paper; pen.strokeStyle = theme.ink2; break;
      case "tick": pen.rect(x - 0.75, y - half - 5, 1.5, 5); pen.fillStyle = theme.ink3; pen.fill(); return;
      default: pen.arc(x, y, 2.5, 0, 7);
    }
    pen.stroke();
    pen.fill();
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

  /** Texts of arrows, where there is room; that of the cursor first. */
  drawLabels() {
    const { pen, theme, axis } = this;
    if (axis.scale < 5 && this.hovered === null) return;
    pen.font = `10.5px ${theme.sans}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const isChosen = (/** @type {Line} */ line) =>
      line.arrow.from === this.cursor || line.arrow.to === this.cursor || line.arrow === this.hovered;
    const rank = (/** @type {Line} */ line) => (isChosen(line) ? 0 : familyOf(line.arrow.message.type) === "heartbeat" ? 2 : 1);
    /** @type {[number, number, number][]} */
    const taken = [];
    for (const line of [...this.lines].sort((a, b) => rank(a) - rank(b))) {
      if (axis.scale < 5 && !isChosen(line)) break;
      const text = arrowLabel(line.arrow.message);
      const half = pen.measureText(text).width / 2 + 3;
      for (const part of [0.5, 0.34, 0.66, 0.2]) {
        const x = line.x1 + (line.x2 - line.x1) * part;
        const y = line.y1 + (line.y2 - line.y1) * part;
        if (x < half || x > axis.width - half) continue;
        if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half && Math.abs(ty - y) < 14)) continue;
        taken.push([x, y, half]);
        this.drawLabel(text, x, y, half, line, isChosen(line));
        break;
      }
    }
  }

  /** @param {string} text @param {number} x @param {number} y @param {number} half @param {Line} line @param {boolean} isChosen */
  drawLabel(text, x, y, half, line, isChosen) {
    const { pen, theme } = this;
    this.drawn.labels += 1;
    const colour = theme.family[familyOf(line.arrow.message.type)];
    pen.globalAlpha = isChosen ? 1 : 0.88;
    pen.fillStyle = isChosen ? colour : theme.paper;
    pen.beginPath();
    pen.roundRect(x - half, y - 7, 2 * half, 14, 4);
    pen.fill();
    pen.globalAlpha = 1;
    pen.fillStyle = isChosen ? theme.paper : colour;
    pen.fillText(text, x, y + 0.5);
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

  /** Commands or ticks, and what happened to the world. */
  drawRuler() {
    const { pen, theme, axis } = this;
    pen.fillStyle = theme.paper;
    pen.fillRect(0, 0, this.width, this.head);
    pen.fillStyle = theme.line;
    pen.fillRect(0, this.head - 1, this.width, 1);
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.font = `11px ${theme.sans}`;
    pen.fillStyle = theme.ink3;
    pen.fillText(`${this.timeline.unit}s`, 14, RULER / 2);
    if (this.hasWorld) pen.fillText(this.timeline.unit === "tick" ? "faults" : "notes", 14, RULER + 11);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, axis.width, this.head);
    pen.clip();
    pen.translate(GUTTER, 0);
    if (this.timeline.momentsPerTick > 0) this.drawTicks();
    else this.drawCommands();
    this.drawWorld();
    const x = axis.x(this.cursor);
    pen.fillStyle = theme.accent;
    pen.beginPath();
    pen.moveTo(x - 5, this.head - 7);
    pen.lineTo(x + 5, this.head - 7);
    pen.lineTo(x, this.head);
    pen.fill();
    if (this.hidden) {
      const text = `zoom in to see ${this.hidden.toLocaleString("en")} more messages`;
      pen.textAlign = "right";
      pen.fillStyle = theme.paper;
      pen.fillRect(axis.width - pen.measureText(text).width - 20, 0, 400, RULER - 1);
      pen.fillStyle = theme.ink2;
      pen.fillText(text, axis.width - 10, RULER / 2);
    }
    pen.restore();
  }

  /** The text of every command that has room for it; that of the cursor in full, over the others. */
  drawCommands() {
    const { pen, theme, axis } = this;
    const current = this.timeline.sectionAt(this.cursor);
    const { sections } = this.timeline;
    pen.font = `650 11px ${theme.sans}`;
    const begins = current === null ? Infinity : this.edge(current.start);
    const title = current === null || begins > axis.width ? "" : cutText(pen, current.title, axis.width - 20);
    const width = pen.measureText(title).width;
    const left = title === "" ? Infinity : Math.max(5, Math.min(begins + 5, axis.width - width - 8));
    const begin = Math.max(0, lastAtMost(sections, axis.low));
    for (let at = begin; at < sections.length && sections[at].start <= axis.high + 1; at++) {
      const section = sections[at];
      const end = sections[at + 1] ? this.edge(sections[at + 1].start) : axis.width;
      const x = Math.max(this.edge(section.start) + 5, 5);
      pen.font = `11px ${theme.sans}`;
      pen.fillStyle = theme.ink2;
      const text = cutText(pen, section.title, end - x - 5);
      const isHidden = section === current || (x < left + width + 8 && x + pen.measureText(text).width > left - 8);
      if (text.length > 3 && !isHidden) pen.fillText(text, x, RULER / 2);
    }
    pen.font = `650 11px ${theme.sans}`;
    pen.fillStyle = theme.accent;
    pen.fillText(title, left, RULER / 2);
  }

  drawTicks() {
    const { pen, theme, axis, timeline } = this;
    let free = 0;
    let shown = -1;
    for (let n = axis.low; n <= axis.high; n++) {
      const tick = Math.floor(timeline.events[n].moment / timeline.momentsPerTick);
      const x = axis.x(n);
      if (tick === shown || x < free) continue;
      const step = axis.scale > 3 ? 1 : axis.scale > 0.4 ? 5 : 20;
      if (tick % step !== 0 && tick - shown < step && shown >= 0) continue;
      shown = tick;
      pen.fillStyle = theme.line;
      pen.fillRect(Math.round(x), 0, 1, RULER);
      pen.fillStyle = theme.ink3;
      pen.fillText(String(tick), x + 4, RULER / 2);
      free = x + 44;
    }
  }

  drawWorld() {
    const { pen, theme, axis, timeline } = this;
    let free = -Infinity;
    for (let n = axis.low; this.hasWorld && n <= axis.high; n++) {
      const event = timeline.events[n];
      if (event.node !== 0 || (this.visible[n] === 0 && event.kind !== "violation")) continue;
      const isAlarm = event.kind === "violation";
      const text = `${SIGNS[event.kind]} ${event.text}`;
      const x = axis.x(n);
      pen.font = `${isAlarm ? "650 " : ""}11px ${theme.sans}`;
      const width = Math.min(pen.measureText(text).width, 420);
      const at = isAlarm ? Math.min(x, axis.width - width - 8) : x;
      pen.fillStyle = isAlarm ? theme.alarm : n === this.cursor ? theme.accent : theme.ink2;
      pen.fillRect(x - 1, RULER + 3, 2, this.head - RULER - 4);
      if (at < free && !isAlarm) continue;
      if (isAlarm) {
        pen.fillStyle = theme.paper;
        pen.fillRect(at - 6, RULER, width + 20, 22);
        pen.fillStyle = theme.alarm;
      }
      pen.fillText(cutText(pen, text.split("\n")[0], axis.width - at - 10), at + 5, RULER + 11);
      free = at + width + 14;
    }
  }

  /** The arrow near a point, or the event of a lane. @param {number} x @param {number} y @returns {{arrow?: Arrow, event?: number}} */
  find(x, y) {
    const inside = x - GUTTER;
    let best = 6;
    /** @type {?Arrow} */
    let arrow = null;
    for (const line of this.lines) {
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

/** As much of a text as has room, with an ellipsis. @param {CanvasRenderingContext2D} pen @param {string} text @param {number} room */
function cutText(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let length = text.length;
  while (length > 0 && pen.measureText(`${text.slice(0, length)}\u2026`).width > room) length -= 1;
  return length > 0 ? `${text.slice(0, length)}\u2026` : "";
}

/** @param {string} role */
const roleWord = (role) => (role === "PreCandidate" ? "pre-candidate" : role.toLowerCase());

/** @param {Line} line @param {number} x @param {number} y */
function distanceTo(line, x, y) {
  const dx = line.x2 - line.x1;
  const dy = line.y2 - line.y1;
  const part = Math.max(0, Math.min(1, ((x - line.x1) * dx + (y - line.y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - line.x1 - part * dx, y - line.y1 - part * dy);
}
