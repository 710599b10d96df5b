/** Which names can be read: of two that would overlap, the later one gives way. Pure. */

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const SPACE = 3;

export function readable(boxes: readonly Box[]): boolean[] {
  const taken: Box[] = [];
  return boxes.map((box) => {
    const free = taken.every((other) => !overlap(box, other));
    if (free) taken.push(box);
    return free;
  });
}

function overlap(a: Box, b: Box): boolean {
  return (
    a.left < b.left + b.width + SPACE &&
    b.left < a.left + a.width + SPACE &&
    a.top < b.top + b.height + SPACE &&
    b.top < a.top + a.height + SPACE
  );
}
