import { type Bounds, type District, graticule, type Position } from "./districts.ts";
import { readable } from "./labels.ts";
import type { MapEvents, MapView } from "./map_view.ts";
import { GROUND, kindColour, SELECTED, STALE } from "./palette.ts";
import type { MapPoint } from "./points.ts";
import { drawSign } from "./symbols.ts";

const HIT_PX = 12;
const DRAG_PX = 4;
const MARGIN_PX = 48;
const ZOOM_STEP = 1.6;
const CLOSE_PX_PER_DEG = 30_000;
const FONT = '600 12px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif';

/** The map without WebGL: the same picture on a 2d canvas, drawn when something changes. */
export class PlainMap implements MapView {
  private readonly canvas = document.createElement("canvas");
  private readonly host: HTMLElement;
  private readonly events: MapEvents;
  private bounds: Bounds | null = null;
  private districts: readonly District[] = [];
  private lines: readonly (readonly Position[])[] = [];
  private shown: readonly MapPoint[] = [];
  private centre: Position = [0, 0];
  private pxPerDeg = 1;
  private drag: { x: number; y: number; moved: boolean } | null = null;
  private waiting = false;

  constructor(host: HTMLElement, events: MapEvents, title: string) {
    this.host = host;
    this.events = events;
    this.canvas.className = "plain-map";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.ariaLabel = title;
    host.replaceChildren(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.up(event));
    this.canvas.addEventListener("pointerleave", () => this.events.hover(null, 0, 0));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.redraw()).observe(host);
  }

  ground(bounds: Bounds, districts: readonly District[]): void {
    const first = this.bounds === null;
    this.bounds = bounds;
    this.districts = districts;
    this.lines = graticule(bounds);
    if (first) this.wholeCity();
    this.redraw();
  }

  points(points: readonly MapPoint[]): void {
    this.shown = points;
    this.host.dataset["points"] = String(points.length);
    this.redraw();
  }

  lookAt(longitude: number, latitude: number): void {
    this.centre = [longitude, latitude];
    this.pxPerDeg = Math.max(this.pxPerDeg, CLOSE_PX_PER_DEG);
    this.redraw();
  }

  wholeCity(): void {
    const bounds = this.bounds;
    if (bounds === null) return;
    this.centre = [(bounds.west + bounds.east) / 2, (bounds.south + bounds.north) / 2];
    const wide = (this.host.clientWidth - 2 * MARGIN_PX) / ((bounds.east - bounds.west) * this.squeeze());
    const high = (this.host.clientHeight - 2 * MARGIN_PX) / (bounds.north - bounds.south);
    this.pxPerDeg = Math.max(1, Math.min(wide, high));
    this.redraw();
  }

  zoom(by: 1 | -1): void {
    this.pxPerDeg *= by === 1 ? ZOOM_STEP : 1 / ZOOM_STEP;
    this.redraw();
  }

  /** A degree of longitude against one of latitude at the centre: flat enough for a city. */
  private squeeze(): number {
    return Math.cos((this.centre[1] * Math.PI) / 180);
  }

  private toScreen([longitude, latitude]: Position): [number, number] {
    return [
      this.host.clientWidth / 2 + (longitude - this.centre[0]) * this.squeeze() * this.pxPerDeg,
      this.host.clientHeight / 2 - (latitude - this.centre[1]) * this.pxPerDeg,
    ];
  }

  private deviceAt(x: number, y: number): string | null {
    let [nearest, distance]: [string | null, number] = [null, HIT_PX];
    for (const point of this.shown) {
      const [px, py] = this.toScreen([point.longitude, point.latitude]);
      const away = Math.hypot(px - x, py - y);
      if (away < distance) [nearest, distance] = [point.device, away];
    }
    return nearest;
  }

  private down(event: PointerEvent): void {
    this.drag = { x: event.offsetX, y: event.offsetY, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    const drag = this.drag;
    if (drag === null) {
      const device = this.deviceAt(event.offsetX, event.offsetY);
      this.canvas.style.cursor = device === null ? "" : "pointer";
      this.events.hover(device, event.offsetX, event.offsetY);
      return;
    }
    const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < DRAG_PX) return;
    this.drag = { x: event.offsetX, y: event.offsetY, moved: true };
    this.pan(dx, dy);
  }

  private up(event: PointerEvent): void {
    const device = this.drag?.moved === false ? this.deviceAt(event.offsetX, event.offsetY) : null;
    this.drag = null;
    if (device !== null) this.events.choose(device);
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    this.pxPerDeg *= Math.exp(-event.deltaY / 400);
    this.redraw();
  }

  private key(event: KeyboardEvent): void {
    const steps: Readonly<Record<string, [number, number]>> = {
      ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60],
    };
    const step = steps[event.key];
    if (step !== undefined) this.pan(step[0], step[1]);
    else if (event.key === "+") this.zoom(1);
    else if (event.key === "-") this.zoom(-1);
    else return;
    event.preventDefault();
  }

  private pan(dx: number, dy: number): void {
    this.centre = [this.centre[0] - dx / (this.pxPerDeg * this.squeeze()), this.centre[1] + dy / this.pxPerDeg];
    this.redraw();
  }

  private redraw(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  private draw(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    const scale = devicePixelRatio;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale];
    const context = this.canvas.getContext("2d");
    if (context === null) return;
    context.scale(scale, scale);
    context.fillStyle = GROUND;
    context.fillRect(0, 0, width, height);
    this.trace(context, this.lines, "rgba(159, 182, 204, 0.07)", null);
    this.trace(context, this.districts.map((one) => one.ring), "rgba(159, 192, 224, 0.22)", "rgba(127, 163, 199, 0.07)");
    this.drawDevices(context);
    this.drawNames(context);
  }

  private trace(context: CanvasRenderingContext2D, paths: readonly (readonly Position[])[], stroke: string, fill: string | null): void {
    context.strokeStyle = stroke;
    context.lineWidth = 1;
    for (const path of paths) {
      context.beginPath();
      for (const at of path) context.lineTo(...this.toScreen(at));
      if (fill !== null) {
        context.fillStyle = fill;
        context.fill();
      }
      context.stroke();
    }
  }

  private drawDevices(context: CanvasRenderingContext2D): void {
    for (const point of this.shown) {
      const [x, y] = this.toScreen([point.longitude, point.latitude]);
      const colour = kindColour(point.kind);
      context.beginPath();
      context.arc(x, y, 4, 0, 2 * Math.PI);
      context.fillStyle = point.freshness === "fresh" ? colour : GROUND;
      context.fill();
      context.strokeStyle = point.freshness === "fresh" || point.freshness === "behind" ? colour : STALE;
      context.lineWidth = 1.2;
      context.stroke();
    }
    for (const point of this.shown) {
      const [x, y] = this.toScreen([point.longitude, point.latitude]);
      if (point.severity !== null) drawSign(context, point.severity, point.acknowledged, x, y, 8);
      if (!point.selected) continue;
      context.beginPath();
      context.arc(x, y, 15, 0, 2 * Math.PI);
      context.strokeStyle = SELECTED;
      context.lineWidth = 2;
      context.stroke();
    }
  }

  private drawNames(context: CanvasRenderingContext2D): void {
    context.font = FONT;
    context.textAlign = "center";
    context.fillStyle = "rgba(205, 219, 233, 0.8)";
    const places = this.districts.map(({ name, top }) => {
      const [x, y] = this.toScreen(top);
      const width = context.measureText(name).width;
      return { name, x, y: y - 5, left: x - width / 2, top: y - 18, width, height: 15 };
    });
    const shown = readable(places);
    places.filter((_, index) => shown[index]).forEach(({ name, x, y }) => context.fillText(name, x, y));
  }
}
