/** Builds DOM nodes. Texts become text nodes, never markup: device names are data from outside. */

export interface ElementOptions {
  readonly class?: string;
  readonly text?: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly attributes?: Readonly<Record<string, string>>;
}

type Child = Node | string | null;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  options: ElementOptions = {},
  children: readonly Child[] = [],
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (options.class !== undefined) node.className = options.class;
  if (options.text !== undefined) node.textContent = options.text;
  Object.assign(node.dataset, options.data ?? {});
  for (const [name, value] of Object.entries(options.attributes ?? {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function button(options: ElementOptions, onClick: () => void, children: readonly Child[] = []): HTMLButtonElement {
  const node = element("button", options, children);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

export function byId(id: string): HTMLElement {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`index.html lacks #${id}`);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon of one path in a 16 x 16 box; decorative, so hidden from screen readers. */
export function icon(path: string, className: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

/**
 * Makes `nodes` the children of `parent`, touching only what differs: a button that is taken out and put back between mouse down and
 * mouse up gets no click, and the lists here change twice a second.
 */
export function arrange(parent: HTMLElement, nodes: readonly Node[]): void {
  nodes.forEach((node, index) => {
    const there = parent.childNodes[index] ?? null;
    if (there !== node) parent.insertBefore(node, there);
  });
  while (parent.childNodes.length > nodes.length) parent.lastChild?.remove();
}

/** Sets a text only where it differs, so that screen readers and selections are left in peace. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}
