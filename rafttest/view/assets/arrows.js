// Messages: an arrow from the lane of the sender to that of the receiver, with a few words where there is room.

const MOST_ARROWS = 2600;

/** @typedef {{x1: number, y1: number, x2: number, y2: number, arrow: Arrow}} Line */

class Arrows {
  /** @param {Lanes} lanes */
  constructor(lanes) {
    this.lanes = lanes;
    /** What was drawn last. @type {Line[]} */
    this.lines = [];
    /** How many were left out, because they would only have been a blur. */
    this.hidden = 0;
  }

  draw() {
    const { pen, axis, timeline } = this.lanes;
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
    const others = timeline.events[this.lanes.cursor]?.message ? 0.6 : 1;
    this.lines = [];
    for (const arrow of arrows) {
      const line = this.lineOf(arrow);
      if (Math.max(line.x1, line.x2) < 0 || Math.min(line.x1, line.x2) > axis.width) continue;
      const isCursor = arrow.from === this.lanes.cursor || arrow.to === this.lanes.cursor || arrow === this.lanes.hovered;
      const isVisible = this.isShown(arrow);
      if (!isVisible && !isCursor) {
        if (this.lanes.searching) this.stroke(line, 0.07, false);
        continue;
      }
      this.lines.push(line);
      this.lanes.drawn.arrows += 1;
      this.stroke(line, isCursor ? 1 : strong * others, isCursor);
    }
    pen.globalAlpha = 1;
  }

  /** @param {Arrow} arrow */
  isShown(arrow) {
    return (arrow.from >= 0 && this.lanes.visible[arrow.from] === 1) || (arrow.to >= 0 && this.lanes.visible[arrow.to] === 1);
  }

  /** @param {Arrow} arrow @returns {Line} */
  lineOf(arrow) {
    const { message } = arrow;
    const receiver = arrow.to < 0 ? message.to : this.lanes.timeline.events[arrow.to].node;
    const fromState = this.lanes.timeline.stateAt(message.from, arrow.from < 0 ? arrow.to : arrow.from);
    const toState = this.lanes.timeline.stateAt(receiver, arrow.to < 0 ? arrow.from : arrow.to);
    const down = this.lanes.y(receiver) > this.lanes.y(message.from) ? 1 : -1;
    let x1 = arrow.from < 0 ? 0 : this.lanes.axis.x(arrow.from);
    let y1 = this.lanes.y(message.from) + down * (barHalf(fromState) + 2);
    let x2 = arrow.to < 0 ? 0 : this.lanes.axis.x(arrow.to);
    let y2 = this.lanes.y(receiver) - down * (barHalf(toState) + 3);
    if (arrow.from < 0) {
      x1 = x2 - 18;
      if (this.lanes.timeline.witness === 0) y1 = y2 - down * 26;
    } else if (arrow.to < 0) {
      x2 = x1 + (this.lanes.timeline.witness === 0 ? 22 : 18);
      if (this.lanes.timeline.witness === 0) y2 = y1 + down * 22;
    } else if (arrow.kind === "lose") {
      x2 = x1 + (x2 - x1) * 0.72;
      y2 = y1 + (y2 - y1) * 0.72;
    }
    return { x1, y1, x2, y2, arrow };
  }

  /** @param {Line} line @param {number} alpha @param {boolean} isCursor */
  stroke(line, alpha, isCursor) {
    const { pen, theme } = this.lanes;
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
    if (this.lanes.axis.scale < 1.5 && !isCursor) {
      if (isLost && alpha > 0.1) this.loss(line, 2, 1);
      return;
    }
    if (isLost) {
      this.loss(line, isCursor ? 6 : 4.5, 2);
    } else if (kind === "open" && this.lanes.timeline.witness === 0) {
      pen.beginPath();
      pen.arc(line.x2, line.y2, 3, 0, 7);
      pen.stroke();
    } else {
      this.tip(line, kind === "refuse", colour, isCursor ? 9 : 7);
    }
  }

  /** @param {Line} line @param {number} size @param {number} weight */
  loss(line, size, weight) {
    this.lanes.drawn.losses += 1;
    this.lanes.cross(line.x2, line.y2, size, weight);
  }

  /** @param {Line} line @param {boolean} isHollow @param {string} colour @param {number} size */
  tip(line, isHollow, colour, size) {
    const { pen, theme } = this.lanes;
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

  /** Texts of arrows, where there is room; that of the cursor first. */
  drawLabels() {
    const { pen, theme, axis } = this.lanes;
    if (axis.scale < 5 && this.lanes.hovered === null) return;
    pen.font = `10.5px ${theme.sans}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const isChosen = (/** @type {Line} */ line) =>
      line.arrow.from === this.lanes.cursor || line.arrow.to === this.lanes.cursor || line.arrow === this.lanes.hovered;
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
    const { pen, theme } = this.lanes;
    this.lanes.drawn.labels += 1;
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
}

/** @param {Line} line @param {number} x @param {number} y */
function distanceTo(line, x, y) {
  const dx = line.x2 - line.x1;
  const dy = line.y2 - line.y1;
  const part = Math.max(0, Math.min(1, ((x - line.x1) * dx + (y - line.y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - line.x1 - part * dx, y - line.y1 - part * dy);
}
