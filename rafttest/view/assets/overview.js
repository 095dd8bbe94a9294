// The overview strip: the whole timeline in one line a node, drawn once, and the window that the lanes show.

class Overview {
  /** @param {HTMLCanvasElement} canvas @param {Timeline} timeline @param {Axis} axis @param {Theme} theme */
  constructor(canvas, timeline, axis, theme) {
    this.canvas = canvas;
    this.timeline = timeline;
    this.axis = axis;
    this.theme = theme;
    /** @type {?HTMLCanvasElement} */
    this.picture = null;
  }

  /** Something of the picture itself has changed. */
  forget() {
    this.picture = null;
  }

  /** @param {number} event */
  x(event) {
    return GUTTER + ((this.axis.at[event] ?? 0) / Math.max(1, this.axis.count)) * (this.width - GUTTER - 8);
  }

  /** @param {number} cursor @param {Uint8Array} visible @param {boolean} isSearching */
  draw(cursor, visible, isSearching) {
    const { pen, width, height } = fitCanvas(this.canvas);
    this.width = width;
    this.height = height;
    if (this.picture === null || this.picture.width !== this.canvas.width || this.picture.height !== this.canvas.height) {
      this.paint(visible, isSearching);
    }
    pen.clearRect(0, 0, width, height);
    if (this.picture) pen.drawImage(this.picture, 0, 0, width, height);
    const { axis, theme } = this;
    const scale = (width - GUTTER - 8) / Math.max(1, axis.count);
    const left = GUTTER + Math.max(0, axis.left) * scale;
    const right = GUTTER + Math.min(axis.count, axis.left + axis.width / axis.scale) * scale;
    pen.fillStyle = theme.accent;
    pen.globalAlpha = 0.12;
    pen.fillRect(left, 1, Math.max(3, right - left), height - 2);
    pen.globalAlpha = 1;
    pen.strokeStyle = theme.accent;
    pen.lineWidth = 1.5;
    pen.strokeRect(left + 0.5, 1.5, Math.max(3, right - left - 1), height - 3);
    pen.fillRect(Math.round(this.x(cursor)) - 1, 0, 2, height);
  }

  /** @param {Uint8Array} visible @param {boolean} isSearching */
  paint(visible, isSearching) {
    const picture = document.createElement("canvas");
    picture.width = this.canvas.width;
    picture.height = this.canvas.height;
    const pen = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
    const ratio = this.canvas.width / Math.max(1, this.width);
    pen.scale(ratio, ratio);
    const { timeline, theme } = this;
    const row = Math.min(11, (this.height - 14) / Math.max(1, timeline.nodes.length));
    const top = (this.height - 8 - row * timeline.nodes.length) / 2;
    pen.font = `11px ${theme.sans}`;
    pen.fillStyle = theme.ink3;
    pen.textBaseline = "middle";
    pen.fillText("overview", 14, this.height / 2);
    timeline.nodes.forEach((node, at) => this.paintNode(pen, node, top + row * (at + 0.5), row));
    for (const event of timeline.events) {
      const y = top + row * (timeline.nodes.indexOf(event.node) + 0.5);
      if (event.kind === "crash") this.mark(pen, this.x(event.number), y, theme.alarm, row);
      if (event.kind === "violation") this.bar(pen, event.number, theme.alarm);
    }
    for (const section of timeline.sections) {
      if (timeline.momentsPerTick > 0 && section.start > 0) this.bar(pen, section.start, theme.ink3);
    }
    pen.fillStyle = isSearching ? theme.accent : theme.alarm;
    for (const event of timeline.events) {
      const isMarked = isSearching ? visible[event.number] === 1 : event.kind === "lose";
      if (isMarked) pen.fillRect(this.x(event.number), this.height - 7, 1, 5);
    }
    this.picture = picture;
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} node @param {number} y @param {number} row */
  paintNode(pen, node, y, row) {
    const stretches = this.timeline.stretches.get(node) ?? [];
    stretches.forEach(({ start, state }, at) => {
      const from = this.x(start);
      const to = at + 1 < stretches.length ? this.x(stretches[at + 1].start) : this.x(this.axis.count - 1);
      const thick = !state.up ? 0.8 : state.role === "Leader" ? row - 1 : Math.max(1.5, row * 0.28);
      pen.fillStyle = state.up ? termFill(state.term) : this.theme.hatch;
      pen.fillRect(from, y - thick / 2, Math.max(0.6, to - from), thick);
    });
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {string} colour @param {number} row */
  mark(pen, x, y, colour, row) {
    const size = Math.max(2, Math.min(3.5, row / 2));
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x - size, y - size);
    pen.lineTo(x + size, y + size);
    pen.moveTo(x + size, y - size);
    pen.lineTo(x - size, y + size);
    pen.stroke();
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} event @param {string} colour */
  bar(pen, event, colour) {
    pen.fillStyle = colour;
    pen.fillRect(this.x(event) - 0.75, 2, 1.5, this.height - 4);
  }

  /** Which place of the axis is at a pixel. @param {number} x */
  placeAt(x) {
    return ((x - GUTTER) / Math.max(1, (this.width ?? 1) - GUTTER - 8)) * this.axis.count;
  }
}
