"""How a page looks: by day and by night, on a phone, on paper."""

STYLE = """\
:root {
  --paper: #fbfbfa; --card: #ffffff; --ink: #1d2733; --muted: #5d6875;
  --rule: #e1e5ea; --accent: #0b7a5c; --warn: #8a5a00; --warn-paper: #fff6e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161b; --card: #1a2027; --ink: #e4e8ec; --muted: #9aa5b1;
    --rule: #2c353f; --accent: #4cc9a0; --warn: #f3c566; --warn-paper: #2a2415;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans",
    sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1, h2 { letter-spacing: -.015em; }
h1 { font-size: clamp(1.6rem, 5vw, 2.3rem); line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p, ul { margin: 0 0 1rem; max-width: 44rem; }
.lead { font-size: 1.1rem; color: var(--muted); }
a { color: var(--accent); }
section { margin-top: 2.5rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
.notice {
  background: var(--warn-paper); color: var(--warn); max-width: none;
  border-left: 4px solid currentColor; border-radius: 4px; padding: .7rem 1rem;
  font-weight: 600;
}

.table {
  overflow-x: auto; margin: 0 0 1.25rem; background: var(--card);
  border: 1px solid var(--rule); border-radius: 8px;
}
table {
  border-collapse: collapse; width: 100%; font-size: .94rem;
  font-variant-numeric: tabular-nums;
}
caption { text-align: left; color: var(--muted); padding: .7rem .9rem .2rem; }
th, td { padding: .5rem .9rem; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; }
thead th {
  color: var(--muted); font-weight: 600; font-size: .85rem;
  border-bottom: 1px solid var(--rule);
}
tbody th { font-weight: 600; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }

dl { margin: 0 0 1.25rem; }
.numbers {
  display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
}
.numbers > div {
  background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: .8rem 1rem;
}
.numbers dt { color: var(--muted); font-size: .85rem; }
.numbers dd {
  margin: 0; font-size: 1.75rem; font-weight: 650; line-height: 1.25;
  color: var(--accent); font-variant-numeric: tabular-nums;
}
small { display: block; font-size: .8rem; font-weight: 400; color: var(--muted); }
td { vertical-align: top; }
.facts {
  display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr));
}
.facts > div {
  display: flex; justify-content: space-between; gap: 1rem; padding: .4rem 0;
  border-bottom: 1px solid var(--rule);
}
.facts dt { color: var(--muted); flex: none; }
.facts dd {
  margin: 0; text-align: right; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums;
}

figure { margin: 0 0 1.5rem; }
figure img {
  display: block; width: 100%; height: auto; border-radius: 8px; background: #fff;
  border: 1px solid var(--rule);
}
figure.picture img { border-color: #0d1117; background: #0d1117; }
figcaption { color: var(--muted); font-size: .9rem; margin-top: .5rem; }
pre {
  overflow-x: auto; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: .8rem 1rem; font-size: .85rem;
}
details { margin: 0 0 1.5rem; }
summary {
  cursor: pointer; color: var(--accent); font-weight: 600; margin-bottom: .75rem;
}

/* A plot is dark ink on white; at night it is turned over, its hues kept. */
@media screen and (prefers-color-scheme: dark) {
  figure.plot img { filter: invert(.91) hue-rotate(180deg); border-color: #d5cdc5; }
}
@media screen and (max-width: 40rem) {
  /* Three planes side by side would be stamps: they scroll. */
  figure > div { overflow-x: auto; }
  figure.plot img { width: 36rem; }
  figure.picture img { width: 46rem; }
}
@media (max-width: 32rem) {
  main { padding: 1.5rem 1rem 3rem; }
  th, td { padding: .45rem .6rem; }
}
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --muted: #444; --rule: #ccc;
    --accent: #0b5c46; --warn: #5c3c00; --warn-paper: #fff;
  }
  main { max-width: none; padding: 0; }
  figure, tr, .numbers > div { break-inside: avoid; }
  h2 { break-after: avoid; }
  .table { overflow: visible; }
  pre { white-space: pre-wrap; }
}
"""
