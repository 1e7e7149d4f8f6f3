// Turns a log's styles into colours that are readable on either theme's background, whatever the log asks for.

import { type Color, type ParseToken, createColorPalette } from "ansi-sequence-parser";

type Rgb = readonly [number, number, number];

/** The contrast that WCAG 2.2 (AA) requires for ordinary text. */
const CONTRAST = 4.5;

const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

/** `marked` is the background of a marked line. Text that is readable on it is readable on the others too. */
const PALETTES = {
  light: {
    ground: "#ffffff",
    marked: "#eceef2",
    ink: "#1b1f27",
    plain: ["#1b1f27", "#b4232a", "#1a7034", "#7d5a00", "#1f5bc4", "#8f3aa8", "#0a6c7d", "#5f6773"],
    bright: ["#5f6773", "#c9302f", "#21803f", "#8a6400", "#2b6be0", "#a145bd", "#0c7789", "#3c434f"],
  },
  dark: {
    ground: "#0e1116",
    marked: "#1e232c",
    ink: "#dfe3ea",
    plain: ["#8b94a3", "#ff7b7b", "#63d287", "#e6c15a", "#7fb0ff", "#d79bf0", "#5fd3e0", "#dfe3ea"],
    bright: ["#a7b0bf", "#ff9a94", "#8be8a6", "#f5d982", "#a5c8ff", "#e7b8fb", "#8ae6ef", "#ffffff"],
  },
} as const;

export interface Look {
  color: string | null;
  background: string | null;
}

/** Colours for one theme; each result is cached. */
export class Colours {
  private readonly palette: (typeof PALETTES)["light" | "dark"];
  private readonly table;
  private readonly known = new Map<string, Look>();

  constructor(dark: boolean) {
    this.palette = PALETTES[dark ? "dark" : "light"];
    const named = (list: readonly string[], prefix: string) =>
      names.map((name, at) => [prefix ? prefix + name[0]!.toUpperCase() + name.slice(1) : name, list[at]!]);
    this.table = createColorPalette(Object.fromEntries([...named(this.palette.plain, ""), ...named(this.palette.bright, "bright")]));
  }

  /** The colours of a piece of text; null for the default colour. */
  look(token: ParseToken): Look {
    const { foreground, background, decorations } = token;
    const dim = decorations.has("dim");
    const turned = decorations.has("reverse");
    if (!foreground && !background && !dim && !turned) return { color: null, background: null };
    const key = `${name(foreground)} ${name(background)} ${dim} ${turned}`;
    let look = this.known.get(key);
    if (!look) {
      if (this.known.size > 4_096) this.known.clear();
      look = this.work(foreground, background, dim, turned);
      this.known.set(key, look);
    }
    return look;
  }

  private work(foreground: Color | null, background: Color | null, dim: boolean, turned: boolean): Look {
    let ink = rgb(foreground ? this.table.value(foreground) : this.palette.ink);
    let ground = rgb(background ? this.table.value(background) : this.palette.ground);
    if (turned) [ink, ground] = [ground, ink];
    if (dim) ink = mix(ink, ground, 0.3);
    if (background || turned) return { color: hex(readable(ink, ground)), background: hex(ground) };
    return { color: hex(readable(ink, rgb(this.palette.marked))), background: null };
  }
}

function name(color: Color | null): string {
  if (!color) return "";
  return color.type === "named" ? color.name : color.type === "table" ? String(color.index) : color.rgb.join(",");
}

function rgb(text: string | undefined): Rgb {
  const value = parseInt((text ?? "#808080").slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function hex(color: Rgb): string {
  return `#${color.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function mix(color: Rgb, other: Rgb, share: number): Rgb {
  const [r, g, b] = color.map((part, at) => Math.round(part + (other[at]! - part) * share));
  return [r!, g!, b!];
}

/** The ink, or the nearest colour on the way to black or white that is readable on this background. */
function readable(ink: Rgb, ground: Rgb): Rgb {
  const end: Rgb = light(ground) > 0.18 ? [0, 0, 0] : [255, 255, 255];
  for (let share = 0; share < 1; share += 0.1) {
    const tried = mix(ink, end, share);
    if (contrast(tried, ground) >= CONTRAST) return tried;
  }
  return end;
}

/** Relative luminance and contrast, as WCAG 2.2 defines them. */
function light(color: Rgb): number {
  const [r, g, b] = color.map((part) => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(one: Rgb, other: Rgb): number {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high! + 0.05) / (low! + 0.05);
}
