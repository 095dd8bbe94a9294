// Signs: what a node does by itself, above, on or below its bar.

class Signs {
  /** @param {Lanes} lanes */
  constructor(lanes) {
    this.lanes = lanes;
  }

  draw() {
    const { axis, timeline } = this.lanes;
    const isNear = axis.scale >= 5;
    for (let n = axis.low; n <= axis.high; n++) {
      const event = timeline.events[n];
      if (event.node === 0) continue;
      const isLoud = event.kind === "crash" || event.kind === "start";
      if (!isLoud && (!isNear || this.lanes.visible[n] === 0 || event.message !== null)) continue;
      if (this.lanes.visible[n] === 0 && n !== this.lanes.cursor) continue;
      this.lanes.drawn.signs += 1;
      this.drawSign(event, axis.x(n), this.lanes.y(event.node));
    }
  }

  /** @param {Event} event @param {number} x @param {number} y */
  drawSign(event, x, y) {
    const { pen, theme } = this.lanes;
    pen.fillStyle = theme.ink;
    pen.strokeStyle = theme.paper;
    pen.lineWidth = 1.5;
    const half = barHalf(event.state);
    pen.beginPath();
    switch (event.kind) {
      case "crash":
        this.lanes.drawn.crashes += 1;
        pen.fillStyle = theme.paper;
        pen.arc(x, y, 8, 0, 7);
        pen.fill();
        this.lanes.cross(x, y, 6, 3);
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
}
