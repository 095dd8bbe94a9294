// The ruler over the lanes: ticks or commands, and what happened to the simulation around the nodes.

class Ruler {
  /** @param {Lanes} lanes */
  constructor(lanes) {
    this.lanes = lanes;
  }

  /** Commands or ticks, and what happened to the simulation. */
  draw() {
    const { pen, theme, axis } = this.lanes;
    pen.fillStyle = theme.paper;
    pen.fillRect(0, 0, this.lanes.width, this.lanes.head);
    pen.fillStyle = theme.line;
    pen.fillRect(0, this.lanes.head - 1, this.lanes.width, 1);
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.font = `11px ${theme.sans}`;
    pen.fillStyle = theme.ink3;
    pen.fillText(`${this.lanes.timeline.unit}s`, 14, RULER / 2);
    if (this.lanes.hasWorld) pen.fillText(this.lanes.timeline.unit === "tick" ? "faults" : "notes", 14, RULER + 11);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, axis.width, this.lanes.head);
    pen.clip();
    pen.translate(GUTTER, 0);
    if (this.lanes.timeline.momentsPerTick > 0) this.drawTicks();
    else this.drawCommands();
    this.drawWorld();
    const x = axis.x(this.lanes.cursor);
    pen.fillStyle = theme.accent;
    pen.beginPath();
    pen.moveTo(x - 5, this.lanes.head - 7);
    pen.lineTo(x + 5, this.lanes.head - 7);
    pen.lineTo(x, this.lanes.head);
    pen.fill();
    if (this.lanes.arrows.hidden) {
      const text = `zoom in to see ${this.lanes.arrows.hidden.toLocaleString("en")} more messages`;
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
    const { pen, theme, axis } = this.lanes;
    const current = this.lanes.timeline.sectionAt(this.lanes.cursor);
    const { sections } = this.lanes.timeline;
    pen.font = `650 11px ${theme.sans}`;
    const begins = current === null ? Infinity : this.lanes.edge(current.start);
    const title = current === null || begins > axis.width ? "" : cutText(pen, current.title, axis.width - 20);
    const width = pen.measureText(title).width;
    const left = title === "" ? Infinity : Math.max(5, Math.min(begins + 5, axis.width - width - 8));
    const begin = Math.max(0, lastAtMost(sections, axis.low));
    for (let at = begin; at < sections.length && sections[at].start <= axis.high + 1; at++) {
      const section = sections[at];
      const end = sections[at + 1] ? this.lanes.edge(sections[at + 1].start) : axis.width;
      const x = Math.max(this.lanes.edge(section.start) + 5, 5);
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
    const { pen, theme, axis, timeline } = this.lanes;
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
    const { pen, theme, axis, timeline } = this.lanes;
    let free = -Infinity;
    for (let n = axis.low; this.lanes.hasWorld && n <= axis.high; n++) {
      const event = timeline.events[n];
      if (event.node !== 0 || (this.lanes.visible[n] === 0 && event.kind !== "violation")) continue;
      const isAlarm = event.kind === "violation";
      const text = `${SIGNS[event.kind]} ${event.text}`;
      const x = axis.x(n);
      pen.font = `${isAlarm ? "650 " : ""}11px ${theme.sans}`;
      const width = Math.min(pen.measureText(text).width, 420);
      const at = isAlarm ? Math.min(x, axis.width - width - 8) : x;
      pen.fillStyle = isAlarm ? theme.alarm : n === this.lanes.cursor ? theme.accent : theme.ink2;
      pen.fillRect(x - 1, RULER + 3, 2, this.lanes.head - RULER - 4);
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
}

/** As much of a text as has room, with an ellipsis. @param {CanvasRenderingContext2D} pen @param {string} text @param {number} room */
function cutText(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let length = text.length;
  while (length > 0 && pen.measureText(`${text.slice(0, length)}\u2026`).width > room) length -= 1;
  return length > 0 ? `${text.slice(0, length)}\u2026` : "";
}
