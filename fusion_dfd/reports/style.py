"""The look of a report: one style sheet, for light and dark screens and for paper."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --line: #dfe3e8; --ink: #1b2430; --muted: #667282; --grid: #e6e9ee;
  --real: #2166ac; --fake: #d9662b; --third: #2a9d74; --fourth: #8757b8; --fifth: #b58a00; --wash: #eef3f9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1a2029; --line: #2d3642; --ink: #e4e9f0; --muted: #95a1b1; --grid: #2a323d;
    --real: #6cabeb; --fake: #f0935c; --third: #58c79d; --fourth: #b795e3; --fifth: #dcb848; --wash: #212a36;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 15px; font-weight: 600; color: var(--muted); margin: 0 0 4px; }
h2 { font-size: 19px; margin: 0 0 10px; }
.verdict { font-size: 27px; line-height: 1.3; font-weight: 650; margin: 0 0 6px; text-wrap: balance; }
.meta, .small, figcaption { color: var(--muted); font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin: 16px 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 16px; }
.columns > section { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px 5px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
thead th { font-size: 13px; color: var(--muted); font-weight: 600; vertical-align: bottom; }
td .range { color: var(--muted); font-size: 13px; }
td.undefined { color: var(--muted); font-style: italic; }
table.wide { width: 100%; }
table.text th { text-align: left; }
table.text td { text-align: left; white-space: normal; vertical-align: top; }
table.text td:first-child { white-space: nowrap; }
table.confusion { margin: 12px auto; }
table.confusion td, table.confusion th { border: 0; text-align: center; padding: 10px 18px; }
table.confusion td.count { font-size: 21px; font-weight: 600; border: 3px solid var(--card); border-radius: 8px; }
table.confusion td .small { display: block; font-weight: 400; }
.right { background: color-mix(in srgb, var(--real) 22%, var(--card)); }
.wrong { background: color-mix(in srgb, var(--fake) 30%, var(--card)); }
svg { display: block; max-width: 100%; height: auto; margin: 0 auto; }
svg text { font-family: system-ui, "DejaVu Sans", sans-serif !important; }
section.warning { border: 2px solid var(--fake); }
section.warning p { margin: 0; }
figure { margin: 14px 0 0; }
figure img { display: block; max-width: 100%; border-radius: 6px; }
figcaption { margin-top: 4px; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
pre { background: var(--wash); padding: 10px 12px; border-radius: 6px; overflow-x: auto; font-size: 13px;
  margin: 6px 0; }
details { margin-top: 10px; }
summary { cursor: pointer; font-weight: 600; }
dt { font-weight: 600; margin-top: 8px; }
dd { margin: 0; color: var(--muted); }
ul { padding-left: 20px; margin: 6px 0; }
@media print { body { background: none; } section { break-inside: avoid; } }
"""
