// Colours, read from the style sheet, so that dark and light are decided in one place.

/** Eight fills for terms, in an order in which neighbours differ most: Paul Tol's "light" scheme. */
const TERM_FILLS = ["#77aadd", "#eedd88", "#ffaabb", "#44bb99", "#ee8866", "#99ddff", "#bbcc33", "#c9a8e8"];

/** @param {number} term */
const termFill = (term) => (term > 0 ? TERM_FILLS[(term - 1) % TERM_FILLS.length] : "#b8c2cf");

class Theme {
  constructor() {
    this.read();
    this.onChange = () => {};
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.read();
      this.onChange();
    });
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const value = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
    this.paper = value("paper");
    this.ink = value("ink");
    this.ink2 = value("ink-2");
    this.ink3 = value("ink-3");
    this.line = value("line");
    this.lane = value("lane");
    this.lane2 = value("lane-2");
    this.accent = value("accent");
    this.accentSoft = value("accent-soft");
    this.alarm = value("alarm");
    this.good = value("good");
    this.hatch = value("hatch");
    this.onTerm = value("on-term");
    this.sans = value("sans");
    /** @type {Record<string, string>} */
    this.family = Object.fromEntries(Object.keys(FAMILY_NAMES).map((family) => [family, value(`m-${family}`)]));
  }
}

/** A canvas that keeps the size of its box, in device pixels. @param {HTMLCanvasElement} canvas */
function fitCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { pen, width, height };
}
