import type { Feature, FeatureCollection } from "geojson";
import { type GeoJSONSource, Map as GlobeMap, Marker, ScaleControl, setWorkerUrl, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import { type Bounds, type District, graticule } from "./districts.ts";
import { layers } from "./gl_layers.ts";
import { readable } from "./labels.ts";
import type { MapEvents, MapView } from "./map_view.ts";
import type { MapPoint } from "./points.ts";
import { signImages, signName } from "./symbols.ts";

const EMPTY: FeatureCollection = { type: "FeatureCollection", features: [] };
const CLOSE_ZOOM = 13.5;
const HIT_PX = 8;
const FIT = { padding: { top: 88, bottom: 72, left: 40, right: 40 } };

const STYLE: StyleSpecification = {
  version: 8,
  sources: {
    ground: { type: "geojson", data: EMPTY },
    devices: { type: "geojson", data: EMPTY },
  },
  layers: [],
};

/** The map in WebGL: all devices are one GeoJSON source, names are HTML so that no glyphs are needed. */
export class GlMap implements MapView {
  private readonly map: GlobeMap;
  private readonly host: HTMLElement;
  private bounds: Bounds | null = null;
  private labels: Marker[] = [];

  /** Resolves when the style is loaded; rejects where the browser has no WebGL. */
  static async open(host: HTMLElement, events: MapEvents, title: string): Promise<GlMap> {
    setWorkerUrl(new URL(workerUrl, import.meta.url).href);
    const map = new GlobeMap({
      container: host,
      style: STYLE,
      attributionControl: false,
      pitchWithRotate: false,
      dragRotate: false,
      touchPitch: false,
      fadeDuration: 0,
      locale: { "Map.Title": title },
    });
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    map.addControl(new ScaleControl({ maxWidth: 80 }), "bottom-right");
    await new Promise<void>((resolve, reject) => {
      map.once("load", () => resolve());
      map.once("error", (event) => reject(event.error));
    });
    for (const { name, image } of signImages()) map.addImage(name, image, { pixelRatio: 2 });
    for (const layer of layers()) map.addLayer(layer);
    return new GlMap(host, map, events);
  }

  private constructor(host: HTMLElement, map: GlobeMap, events: MapEvents) {
    this.host = host;
    this.map = map;
    map.on("click", (event) => {
      const device = this.deviceAt(event.point.x, event.point.y);
      if (device !== null) events.choose(device);
    });
    map.on("mousemove", (event) => {
      const device = this.deviceAt(event.point.x, event.point.y);
      map.getCanvas().style.cursor = device === null ? "" : "pointer";
      events.hover(device, event.point.x, event.point.y);
    });
    map.on("moveend", () => this.declutter());
    map.on("mouseout", () => events.hover(null, 0, 0));
    map.on("movestart", () => events.hover(null, 0, 0));
    new ResizeObserver(() => map.resize()).observe(host);
  }

  private deviceAt(x: number, y: number): string | null {
    const box: [[number, number], [number, number]] = [[x - HIT_PX, y - HIT_PX], [x + HIT_PX, y + HIT_PX]];
    const found = this.map.queryRenderedFeatures(box, { layers: ["signs", "devices"] });
    const near = found
      .map((feature) => ({ feature, distance: this.distance(feature, x, y) }))
      .sort((a, b) => a.distance - b.distance)[0];
    return near === undefined ? null : String(near.feature.properties["device"]);
  }

  private distance(feature: Feature, x: number, y: number): number {
    if (feature.geometry.type !== "Point") return Number.POSITIVE_INFINITY;
    const [longitude = 0, latitude = 0] = feature.geometry.coordinates;
    const at = this.map.project([longitude, latitude]);
    return Math.hypot(at.x - x, at.y - y);
  }

  ground(bounds: Bounds, districts: readonly District[]): void {
    const first = this.bounds === null;
    this.bounds = bounds;
    const features: Feature[] = [
      ...graticule(bounds).map((line): Feature => ({
        type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: line.map((at) => [...at]) },
      })),
      ...districts.map(({ name, ring }): Feature => ({
        type: "Feature", properties: { name }, geometry: { type: "Polygon", coordinates: [ring.map((at) => [...at])] },
      })),
    ];
    this.source("ground").setData({ type: "FeatureCollection", features });
    for (const label of this.labels) label.remove();
    this.labels = districts.map(({ name, top }) => this.label(name, top[0], top[1]));
    if (first) this.wholeCity(false);
    this.declutter();
  }

  private label(name: string, longitude: number, latitude: number): Marker {
    const node = document.createElement("div");
    node.className = "district-name";
    node.textContent = name;
    const marker = new Marker({ element: node, anchor: "bottom" }).setLngLat([longitude, latitude]).addTo(this.map);
    // maplibre makes every marker a focusable button; a name is neither
    node.removeAttribute("tabindex");
    node.removeAttribute("role");
    node.setAttribute("aria-hidden", "true");
    return marker;
  }

  private declutter(): void {
    const boxes = this.labels.map((label) => {
      const { x, y } = this.map.project(label.getLngLat());
      const { offsetWidth: width, offsetHeight: height } = label.getElement();
      return { left: x - width / 2, top: y - height, width, height };
    });
    const shown = readable(boxes);
    this.labels.forEach((label, index) => label.getElement().classList.toggle("gives-way", shown[index] === false));
  }

  points(points: readonly MapPoint[]): void {
    const features = points.map(({ longitude, latitude, severity, acknowledged, ...properties }): Feature => ({
      type: "Feature",
      geometry: { type: "Point", coordinates: [longitude, latitude] },
      properties: { ...properties, severity: severity ?? "none", sign: severity === null ? "" : signName(severity, acknowledged) },
    }));
    this.source("devices").setData({ type: "FeatureCollection", features });
    this.host.dataset["points"] = String(features.length);
  }

  private source(name: string): GeoJSONSource {
    return this.map.getSource(name) as GeoJSONSource;
  }

  lookAt(longitude: number, latitude: number): void {
    this.map.resize(); // the panel below may just have opened: the centre must be that of what is seen
    this.map.easeTo({ center: [longitude, latitude], zoom: Math.max(this.map.getZoom(), CLOSE_ZOOM), duration: 500 });
  }

  wholeCity(animate = true): void {
    const bounds = this.bounds;
    if (bounds === null) return;
    this.map.fitBounds([[bounds.west, bounds.south], [bounds.east, bounds.north]], { ...FIT, animate, duration: 500 });
  }

  zoom(by: 1 | -1): void {
    if (by === 1) this.map.zoomIn();
    else this.map.zoomOut();
  }
}
