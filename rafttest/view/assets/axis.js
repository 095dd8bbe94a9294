// Where events lie from left to right: evenly, or by their moments; and which part of that is in view.

class Axis {
  /** @param {Timeline} timeline */
  constructor(timeline) {
    this.timeline = timeline;
    this.byTime = false;
    this.count = timeline.events.length;
    /** Pixels an event takes on average. */
    this.scale = 12;
    /** What lies at the left edge, in events. */
    this.left = 0;
    this.width = 800;
    this.place();
  }

  place() {
    const { events } = this.timeline;
    const first = events[0]?.moment ?? 0;
    const last = events[this.count - 1]?.moment ?? 0;
    const stretch = last > first ? this.count / (last - first) : 0;
    this.at = new Float64Array(this.count);
    for (let n = 0; n < this.count; n++) {
      this.at[n] = this.byTime && stretch > 0 ? (events[n].moment - first) * stretch : n + 0.5;
    }
  }

  /** @param {boolean} byTime @param {number} cursor */
  setByTime(byTime, cursor) {
    const x = this.x(cursor);
    this.byTime = byTime;
    this.place();
    this.left = this.at[cursor] - x / this.scale;
    this.clamp();
  }

  /** @param {number} event */
  x(event) {
    return (this.at[event] - this.left) * this.scale;
  }

  /** The first event at or right of a pixel. @param {number} x */
  firstAt(x) {
    const wanted = this.left + x / this.scale;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  get low() {
    return Math.max(0, this.firstAt(0) - 1);
  }

  get high() {
    return Math.min(this.count - 1, this.firstAt(this.width));
  }

  get fit() {
    return (this.width - 24) / Math.max(1, this.count);
  }

  clamp() {
    const margin = 24 / this.scale;
    const most = this.count - this.width / this.scale + margin;
    this.left = Math.max(-margin / 2, Math.min(this.left, Math.max(-margin / 2, most)));
  }

  /** @param {number} factor @param {number} x which pixel stays in its place */
  zoom(factor, x) {
    const there = this.left + x / this.scale;
    this.scale = Math.max(Math.min(this.fit, 12), Math.min(90, this.scale * factor));
    this.left = there - x / this.scale;
    this.clamp();
  }

  /** @param {number} pixels */
  pan(pixels) {
    this.left += pixels / this.scale;
    this.clamp();
  }

  /** Bring an event into view, with room on both sides. @param {number} event @param {boolean} centred */
  show(event, centred) {
    const x = this.x(event);
    if (!centred && x >= this.width * 0.12 && x <= this.width * 0.88) return;
    const target = centred || x < -this.width || x > 2 * this.width ? 0.5 : x < this.width * 0.12 ? 0.3 : 0.7;
    this.left = this.at[event] - (this.width * target) / this.scale;
    this.clamp();
  }
}
