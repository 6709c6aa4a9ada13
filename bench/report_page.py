"""The page of bench/report: tables and charts, in light and dark, out of nothing but itself."""

import html
import math
import statistics

from report_jobs import WORK as JOBS
from report_rows import (
    LIMIT, OURS, WORKS, collect_goals, groups, in_brackets, met, number, spread, works_of)

# Light and dark, by system.
COLOURS = {
    OURS: ("#1f6fd0", "#5aa2f5"),
    LIMIT: ("#8a8f98", "#8a8f98"),
    "RocksDB": ("#d2602c", "#e98a5c"),
    "LevelDB": ("#2f8f5b", "#5cbf88"),
    "LMDB": ("#7a52c7", "#a98be6"),
    "SQLite": ("#a97c00", "#d6ac3a"),
    "mosquitto": ("#b8478f", "#e07fbd"),
    "NATS JetStream": ("#16828c", "#4fb9c2"),
    "Apache Kafka": ("#5c6b00", "#a5b84a"),
}
OTHER_COLOUR = ("#555b66", "#a0a6b0")


# --- charts


def colour(system):
    return f"var(--c{list(COLOURS).index(system)})" if system in COLOURS else "var(--other)"


class Axis:
    """From values to pixels; by powers of ten when they lie far apart."""

    def __init__(self, values, start, end, from_zero=True):
        positive = [value for value in values if value > 0] or [1]
        top, bottom = max(positive), min(positive)
        self.by_powers = top / bottom > 20
        self.start, self.end = start, end
        if self.by_powers:
            self.low = math.floor(math.log10(bottom) - (0.3 if from_zero else 0))
            self.high = math.log10(top * 1.15)
        else:
            self.low, self.high = (0 if from_zero else bottom), top * 1.05
        if self.high == self.low:
            self.high = self.low + 1

    def place(self, value):
        if self.by_powers:
            value = math.log10(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low)
        return self.start + max(share, 0) * (self.end - self.start)

    def ticks(self):
        if self.by_powers:
            return [10.0 ** power for power in range(self.low, math.floor(self.high) + 1)]
        rough = (self.high - self.low) / 4
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
        first = math.ceil(self.low / step)
        return [step * i for i in range(first, int(self.high / step) + 1)]


def short(value):
    for limit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{name}"
    return f"{value:.3g}"


def tell(row):
    return html.escape(f"{row['system']}, {row['setting']}: {number(row['median'])} {row['unit']}"
                       f"{in_brackets(row['samples'])}")


def bars(members):
    """A bar for each row, with a line from its least to its greatest sample."""
    left, width, line = 330, 860, 30
    height = line * len(members) + 34
    every = [value for row in members for value in row["samples"]]
    axis = Axis(every, left, width - 90)
    unit = members[0]["unit"]
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" '
             f'aria-label="{html.escape(members[0]["case"])}, {html.escape(unit)}">']
    bottom = height - 22
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>'
                     f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">'
                     f"{short(tick)}</text>")
    for index, row in enumerate(members):
        y = 6 + index * line
        end = axis.place(row["median"])
        low, high = axis.place(min(row["samples"])), axis.place(max(row["samples"]))
        middle = y + 10.5
        setting = row["setting"] if len(row["setting"]) < 38 else row["setting"][:36] + "…"
        parts.append(
            f"<g><title>{tell(row)}</title>"
            f'<text x="{left - 8}" y="{y + 9}" text-anchor="end"><tspan class="name">'
            f'{html.escape(row["system"])}</tspan></text>'
            f'<text class="setting" x="{left - 8}" y="{y + 21}" text-anchor="end">'
            f"{html.escape(setting)}</text>"
            f'<rect x="{left}" y="{y}" width="{max(end - left, 1):.1f}" height="21" rx="2" '
            f'fill="{colour(row["system"])}"/>')
        if high - low > 2:
            parts.append(f'<path class="spread" d="M{low:.1f} {middle}H{high:.1f}'
                         f'M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"/>')
        parts.append(f'<text class="value" x="{max(end, high) + 6:.1f}" y="{y + 15}">'
                     f"{short(row['median'])}</text></g>")
    note = "; each step is ten times the last" if axis.by_powers else ""
    parts.append("</svg>")
    return f'<figure>{"".join(parts)}<figcaption>{html.escape(unit)}{note}</figcaption></figure>'


def apart(labels, least=13):
    """Moves labels, (y, text, colour) from top to bottom, so that none covers another."""
    labels.sort()
    placed, last = [], -math.inf
    for y, text, paint in labels:
        last = max(y, last + least)
        placed.append((last, text, paint))
    return placed


def lines(series, members):
    """A line for each system and setting along `x`."""
    by_setting = {}
    for row in members:
        by_setting.setdefault((row["system"], row["setting"]), []).append(row)
    left, right, top, bottom = 60, 500, 12, 300
    width, height = 860, max(350, 40 + 14 * len(by_setting))
    x_axis = Axis([row["x"] for row in members], left, right, from_zero=False)
    y_axis = Axis([value for row in members for value in row["samples"]], bottom, top)
    unit = members[0]["unit"]
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" '
             f'aria-label="{html.escape(unit)} by {html.escape(series)}">']
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
                     f"{short(tick)}</text>")
    for x_value in sorted({row["x"] for row in members}):
        x = x_axis.place(x_value)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">'
                     f"{short(x_value)}</text>")
    parts.append(f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 36}" '
                 f'text-anchor="middle">{html.escape(series)}</text>')
    labels = []
    seen = set()
    for (system, setting), points in by_setting.items():
        points.sort(key=lambda row: row["x"])
        places = [(x_axis.place(row["x"]), y_axis.place(row["median"])) for row in points]
        dashes = ' stroke-dasharray="5 4"' if system in seen else ""
        seen.add(system)
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path class="line" d="{path}" stroke="{colour(system)}"{dashes}/>')
        for (x, y), row in zip(places, points):
            low, high = y_axis.place(min(row["samples"])), y_axis.place(max(row["samples"]))
            parts.append(f'<g><title>{short(row["x"])} {html.escape(series)}; {tell(row)}</title>'
                         f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour(system)}"/>'
                         f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour(system)}"/></g>')
        words = f"{system}: {setting}"
        words = words if len(words) < 54 else words[:52] + "…"
        labels.append((places[-1][1], words, colour(system), places[-1]))
    last_places = {label[1]: label[3] for label in labels}
    for y, words, paint in apart([label[:3] for label in labels]):
        x, at = last_places[words]
        parts.append(f'<path class="leader" d="M{x + 6:.1f} {at:.1f}L{right + 22} {y:.1f}"/>'
                     f'<circle cx="{right + 30}" cy="{y:.1f}" r="4" fill="{paint}"/>'
                     f'<text class="legend" x="{right + 40}" y="{y + 4:.1f}">'
                     f"{html.escape(words)}</text>")
    parts.append("</svg>")
    return (f'<figure>{"".join(parts)}<figcaption>{html.escape(unit)} by {html.escape(series)}'
            f"</figcaption></figure>")


# --- the page

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #5b636e; --rule: #d9dde3;
  --good: #18794e; --bad: #b42318; --head: #f4f6f8; LIGHT }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e9ed; --soft: #9aa3ae;
  --rule: #333a43; --good: #5fd39b; --bad: #ff8a7a; --head: #1d2228; DARK } }
body { margin: 0 auto; padding: 24px; max-width: 920px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 40px 0 8px;
  border-top: 1px solid var(--rule); padding-top: 20px; } h3 { font-size: 16px; margin: 24px 0 6px; }
p, figcaption { color: var(--soft); margin: 0 0 8px; } figcaption { font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.ours td { font-weight: 600; } td.small { color: var(--soft); font-weight: 400; font-size: 13px; }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
figure { margin: 12px 0; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .name { font-weight: 600; } svg .setting { font-size: 10px; fill: var(--soft); }
svg .tick { font-size: 11px; fill: var(--soft); } svg .legend { font-size: 11px; }
svg .grid { stroke: var(--rule); } svg .line { fill: none; stroke-width: 2; }
svg .leader { stroke: var(--rule); fill: none; } svg .spread { stroke: var(--ink); stroke-width: 1.5; fill: none; }
details summary { cursor: pointer; color: var(--soft); }
"""


def style():
    light = " ".join(f"--c{i}: {pair[0]};" for i, pair in enumerate(COLOURS.values()))
    dark = " ".join(f"--c{i}: {pair[1]};" for i, pair in enumerate(COLOURS.values()))
    return (STYLE.replace("LIGHT", f"{light} --other: {OTHER_COLOUR[0]};")
            .replace("DARK", f"{dark} --other: {OTHER_COLOUR[1]};"))


def goals_table(rows):
    goals = collect_goals(rows)
    if not goals:
        return ""
    parts = ['<div class="scroll"><table><tr><th>Goal<th class="number">Measured'
             '<th class="number">Wanted<th></tr>']
    for what, against, values, relation, limit in goals:
        good = met(values, relation, limit)
        parts.append(
            f'<tr><td>{html.escape(what)}<br><span class="setting">{html.escape(against)}</span>'
            f'<td class="number">{number(statistics.median(values))}<br>'
            f'{html.escape(spread(values))}<td class="number">{relation} {number(limit)}'
            f'<td class="{"met" if good else "missed"}">{"met" if good else "missed"}</tr>')
    return "<h2>Goals</h2>" + "".join(parts) + "</table></div>"


def rows_table(members, with_case=False):
    case_head = "<th>Case" if with_case else ""
    parts = [f'<div class="scroll"><table><tr>{case_head}<th>System<th class="number">'
             f'{html.escape(members[0]["unit"])}<th class="number">Spread'
             '<th class="number">By Tidemark’s<th>Setting</tr>']
    for row in members:
        ratio = ""
        if row["ratios"]:
            ratio = number(statistics.median(row["ratios"])) + in_brackets(row["ratios"])
        notes = f"; {row['notes']}" if row.get("notes") else ""
        case = f"<td>{html.escape(row['case'])}" if with_case else ""
        parts.append(f'<tr{" class=ours" if row["system"] == OURS else ""}>{case}'
                     f'<td>{html.escape(row["system"])}<td class="number">{number(row["median"])}'
                     f'<td class="number small">{html.escape(spread(row["samples"]))}'
                     f'<td class="number small">{html.escape(ratio)}'
                     f'<td class="small">{html.escape(row["setting"] + notes)}</tr>')
    return "".join(parts) + "</table></div>"


def along_axes(rows, work):
    """(series, unit) -> rows of at least two places on that axis."""
    found = {}
    for row in rows:
        if row["work"] == work and row.get("x") is not None and row.get("series"):
            found.setdefault((row["series"], row["unit"]), []).append(row)
    return {key: members for key, members in found.items()
            if len({row["x"] for row in members}) > 1}


def figures(members, with_case=False):
    return f"<details><summary>Figures</summary>{rows_table(members, with_case)}</details>"


def work_section(rows, work):
    head = f"({work}) {WORKS.get(work, '')}" if len(work) == 1 else WORKS.get(work, work)
    parts = [f"<h2>{html.escape(head)}</h2>"]
    drawn = set()
    for (series, _), members in along_axes(rows, work).items():
        parts.append(lines(series, members))
        if work == JOBS:
            # A sweep of jobs has a row or two of each case: bars of these would say nothing.
            parts.append(figures(members, with_case=True))
            drawn |= {id(row) for row in members}
    for (case, unit), members in groups(rows, work).items():
        if all(id(row) in drawn for row in members):
            continue
        better = "higher" if members[0]["better"] == "higher" else "lower"
        parts.append(f"<h3>{html.escape(case)}</h3><p>{html.escape(unit)}; {better} is better</p>")
        parts.append(bars(members) + figures(members))
    return "".join(parts)


def machine_text(machines):
    texts = []
    for machine in machines:
        words = [str(machine[name]) for name in ("processor", "kernel", "file_system", "time")
                 if machine.get(name)]
        if machine.get("processors"):
            words.insert(1, f"{machine['processors']} processors")
        versions = machine.get("versions", {})
        words += [f"{name} {version}" for name, version in versions.items()]
        text = ", ".join(words)
        if text and text not in texts:
            texts.append(text)
    return "".join(f"<li>{html.escape(text)}</li>" for text in texts)


def page(rows, machines, title):
    works = works_of(rows)
    return (f'<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{style()}</style>"
            f"<h1>{html.escape(title)}</h1>"
            f"<p>Medians; the lines on the bars and the figures in brackets are the least and the "
            f"greatest sample. Ratios are taken round by round.</p>"
            f"{goals_table(rows)}{''.join(work_section(rows, work) for work in works)}"
            f"<h2>Machine</h2><ul>{machine_text(machines)}</ul></html>\n")
