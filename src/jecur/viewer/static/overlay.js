// What is drawn over a slide, on a canvas of its own: scored tiles, outlines, tiles left out.

const OUTLINE = "#00a651", REGION = "#7b2fbe", LEFT_OUT = "#444", CHOSEN = "#111";

export class Overlay {
  constructor(viewer, colors) {
    this.viewer = viewer;
    this.colors = colors;
    this.layers = { heat: true, tissue: false, regions: false, "left-out": false };
    this.opacity = 0.55;
    this.clear();
    this.canvas = document.createElement("canvas");
    this.canvas.className = "overlay";
    this.canvas.setAttribute("aria-hidden", "true");
    Object.assign(this.canvas.style, { position: "absolute", left: "0", top: "0", width: "100%", height: "100%", pointerEvents: "none" });
    viewer.canvas.append(this.canvas);
    viewer.addHandler("update-viewport", () => this.draw());
    viewer.addHandler("resize", () => this.draw());
  }

  clear() {
    this.tiles = null;
    this.tissue = null;
    this.regions = null;
    this.leftOut = null;
    this.chosen = null;
    this.cells = new Map();
  }

  setTiles(tiles) {
    this.tiles = tiles;
    this.cells = new Map();
    const { low, center, high } = tiles.scale || { low: -1, center: 0, high: 1 };
    const last = this.colors.length - 1;
    tiles.color = tiles.score.map((score) => {
      const share = score <= center ? (score - low) / (center - low) / 2 : 0.5 + (score - center) / (high - center) / 2;
      return `rgb(${this.colors[Math.round(Math.min(Math.max(share, 0), 1) * last)].join(" ")})`;
    });
    if (tiles.side) this.index(tiles, "tiles");
  }

  setLeftOut(tiles) {
    this.leftOut = tiles;
    if (tiles && tiles.side) this.index(tiles, "leftOut");
  }

  index(tiles, kind) {
    tiles.x.forEach((x, i) => {
      const key = `${kind} ${Math.floor(x / tiles.side)} ${Math.floor(tiles.y[i] / tiles.side)}`;
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push(i);
    });
  }

  /** Number of the tile at a place of the slide; -1 if there is none. */
  at(x, y, kind = "tiles") {
    const tiles = this[kind];
    if (!tiles || !tiles.side) return -1;
    const [column, row] = [Math.floor(x / tiles.side), Math.floor(y / tiles.side)];
    for (const c of [column, column - 1]) {
      for (const r of [row, row - 1]) {
        for (const i of this.cells.get(`${kind} ${c} ${r}`) || []) {
          if (x >= tiles.x[i] && x < tiles.x[i] + tiles.side && y >= tiles.y[i] && y < tiles.y[i] + tiles.side) return i;
        }
      }
    }
    return -1;
  }

  /** From level-0 pixels of the slide to CSS pixels of the canvas: [left, top, pixels per pixel]. */
  transform() {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return null;
    const zero = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const far = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(10000, 0));
    return [zero.x, zero.y, (far.x - zero.x) / 10000];
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.viewer.canvas;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    this.paint(this.canvas.getContext("2d"), ratio);
  }

  paint(context, ratio) {
    const place = this.transform();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!place) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [left, top, scale] = place;
    const [width, height] = [this.canvas.width / ratio, this.canvas.height / ratio];
    if (this.layers.heat && this.tiles) {
      context.globalAlpha = this.opacity;
      this.squares(context, this.tiles, place, width, height, (i) => { context.fillStyle = this.tiles.color[i]; });
      context.globalAlpha = 1;
    }
    if (this.layers["left-out"] && this.leftOut) this.crosses(context, place, width, height);
    context.lineWidth = 2;
    if (this.layers.tissue && this.tissue) {
      context.strokeStyle = OUTLINE;
      for (const rings of this.tissue) this.rings(context, rings, place);
    }
    if (this.layers.regions && this.regions) {
      context.strokeStyle = REGION;
      for (const region of this.regions) {
        context.setLineDash(region.negative ? [6, 4] : []);
        this.rings(context, region.rings, place);
        const [x, y] = region.rings[0][0];
        context.fillStyle = REGION;
        context.font = "12px sans-serif";
        context.fillText(region.name, left + x * scale + 3, top + y * scale - 4);
      }
      context.setLineDash([]);
    }
    if (this.chosen) {
      context.strokeStyle = CHOSEN;
      context.lineWidth = 3;
      const { x, y, side } = this.chosen;
      context.strokeRect(left + x * scale, top + y * scale, side * scale, side * scale);
    }
  }

  squares(context, tiles, [left, top, scale], width, height, color) {
    const side = Math.max(tiles.side * scale, 1);
    for (let i = 0; i < tiles.x.length; i += 1) {
      const [x, y] = [left + tiles.x[i] * scale, top + tiles.y[i] * scale];
      if (x > width || y > height || x + side < 0 || y + side < 0) continue;
      color(i);
      context.fillRect(x, y, side, side);
    }
  }

  crosses(context, [left, top, scale], width, height) {
    const { x, y, side } = this.leftOut;
    const length = side * scale;
    context.strokeStyle = LEFT_OUT;
    context.lineWidth = 1.5;
    context.beginPath();
    for (let i = 0; i < x.length; i += 1) {
      const [a, b] = [left + x[i] * scale, top + y[i] * scale];
      if (a > width || b > height || a + length < 0 || b + length < 0) continue;
      context.rect(a, b, length, length);
      context.moveTo(a, b);
      context.lineTo(a + length, b + length);
      context.moveTo(a + length, b);
      context.lineTo(a, b + length);
    }
    context.stroke();
  }

  rings(context, rings, [left, top, scale]) {
    context.beginPath();
    for (const ring of rings) {
      ring.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](left + x * scale, top + y * scale));
      context.closePath();
    }
    context.stroke();
  }
}
