import en from "./en.json";
import vi from "./vi.json";

export type Key = keyof typeof en;
export type Language = "en" | "vi";

const REMEMBERED_AS = "citynerve.language";
const LOCALES: Readonly<Record<Language, string>> = { en: "en-GB", vi: "vi-VN" };
const CATALOGUES: Readonly<Record<Language, Readonly<Record<Key, string>>>> = { en, vi };
export const LANGUAGES: readonly Language[] = ["en", "vi"];

let current: Language = firstLanguage();
const listeners: (() => void)[] = [];

function isLanguage(value: string | null): value is Language {
  return value !== null && (LANGUAGES as readonly string[]).includes(value);
}

function firstLanguage(): Language {
  const remembered = localStorage.getItem(REMEMBERED_AS);
  if (isLanguage(remembered)) return remembered;
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith("vi")) ? "vi" : "en";
}

export const language = (): Language => current;

/** How numbers and dates are written: days before months in both. */
export const locale = (): string => LOCALES[current];

export function onLanguage(listener: () => void): void {
  listeners.push(listener);
}

export function setLanguage(next: Language): void {
  current = next;
  localStorage.setItem(REMEMBERED_AS, next);
  document.documentElement.lang = next;
  translate(document);
  for (const listener of listeners) listener();
}

/** The text of `key` in the operator's language; `{name}` is replaced by the parameter of that name. */
export function t(key: Key, parameters: Readonly<Record<string, string | number>> = {}): string {
  return CATALOGUES[current][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(parameters[name] ?? whole));
}

/** A text that names one of an open set (metric, kind, dead-letter reason): an unknown name is shown as it is. */
export function named(group: "metric" | "kind" | "column" | "source", name: string): string {
  const known: Readonly<Record<string, string>> = CATALOGUES[current];
  return known[`${group}.${name}`] ?? name.replaceAll("_", " ");
}

/** Fills every element under `root` that names its text (data-t), its label (data-t-label), its placeholder or its tooltip. */
export function translate(root: ParentNode): void {
  for (const node of root.querySelectorAll<HTMLElement>("[data-t]")) node.textContent = t(node.dataset["t"] as Key);
  for (const node of root.querySelectorAll<HTMLElement>("[data-t-label]")) node.ariaLabel = t(node.dataset["tLabel"] as Key);
  for (const node of root.querySelectorAll<HTMLElement>("[data-t-title]")) node.title = t(node.dataset["tTitle"] as Key);
  for (const node of root.querySelectorAll<HTMLInputElement>("[data-t-placeholder]")) {
    node.placeholder = t(node.dataset["tPlaceholder"] as Key);
  }
}
