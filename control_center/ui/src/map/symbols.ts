import type { Severity } from "../api/shapes.ts";
import { GROUND, SEVERITY_COLOURS } from "./palette.ts";

/** Alarm signs drawn on a canvas: a shape for each severity, filled when raised, an outline when acknowledged. */

const SIDE = 48;

export const signName = (severity: Severity, acknowledged: boolean): string => `${severity}-${acknowledged ? "acknowledged" : "raised"}`;

export function drawSign(context: CanvasRenderingContext2D, severity: Severity, acknowledged: boolean, x: number, y: number, r: number): void {
  context.beginPath();
  outline(context, severity, x, y, r);
  context.closePath();
  context.lineJoin = "round";
  context.strokeStyle = GROUND;
  context.lineWidth = r * 0.55;
  context.stroke();
  context.fillStyle = acknowledged ? GROUND : SEVERITY_COLOURS[severity];
  context.fill();
  context.strokeStyle = SEVERITY_COLOURS[severity];
  context.lineWidth = r * 0.24;
  context.stroke();
  context.fillStyle = acknowledged ? SEVERITY_COLOURS[severity] : GROUND;
  mark(context, severity === "info", x, y + (severity === "critical" ? r * 0.14 : 0), r);
}

function outline(context: CanvasRenderingContext2D, severity: Severity, x: number, y: number, r: number): void {
  if (severity === "info") {
    context.arc(x, y, r * 0.8, 0, 2 * Math.PI);
    return;
  }
  const corners = severity === "critical" ? [[0, -1.02], [1, 0.8], [-1, 0.8]] : [[0, -1.05], [1.05, 0], [0, 1.05], [-1.05, 0]];
  corners.forEach(([dx = 0, dy = 0], index) => {
    if (index === 0) context.moveTo(x + dx * r, y + dy * r);
    else context.lineTo(x + dx * r, y + dy * r);
  });
}

/** "!", or upside down an "i". */
function mark(context: CanvasRenderingContext2D, upsideDown: boolean, x: number, y: number, r: number): void {
  const way = upsideDown ? -1 : 1;
  context.fillRect(x - r * 0.11, y - way * r * 0.42, r * 0.22, way * r * 0.5);
  context.fillRect(x - r * 0.11, y + way * r * 0.2, r * 0.22, way * r * 0.22);
}

/** The six signs as images for WebGL, at twice the size they are shown. */
export function signImages(): { name: string; image: ImageData }[] {
  const severities: readonly Severity[] = ["critical", "warning", "info"];
  return severities.flatMap((severity) =>
    [false, true].map((acknowledged) => {
      const canvas = document.createElement("canvas");
      canvas.width = SIDE;
      canvas.height = SIDE;
      const context = canvas.getContext("2d");
      if (context === null) throw new Error("no 2d canvas");
      drawSign(context, severity, acknowledged, SIDE / 2, SIDE / 2 + 1, SIDE * 0.33);
      return { name: signName(severity, acknowledged), image: context.getImageData(0, 0, SIDE, SIDE) };
    }),
  );
}
