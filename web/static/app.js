// What the server cannot do: charts, the drawer, copying, and hearing of news.

const body = document.body;

// --- news: server-sent events make the parts of the page that want it refresh
const wanted = { request: "fw-request", proxy: "fw-proxy", source: "fw-source" };
const pending = new Set();

function announce(kind) {
  if (pending.has(kind)) return; // at most once a second
  pending.add(kind);
  setTimeout(() => { pending.delete(kind); body.dispatchEvent(new CustomEvent(wanted[kind])); }, 1000);
}

function listen() {
  const line = document.getElementById("line");
  const kinds = Object.keys(wanted).filter((k) => document.querySelector(`[hx-trigger*="${wanted[k]}"]`));
  if (kinds.length === 0) return;
  const events = new EventSource(`/api/events?kind=${kinds.join(",")}`);
  for (const kind of kinds) events.addEventListener(kind, () => announce(kind));
  events.onopen = () => { line.textContent = ""; };
  events.onerror = () => { line.textContent = "· the connection is lost, trying again"; };
  window.addEventListener("pagehide", () => events.close());
}

// --- the drawer opens when something was put into it
const drawer = document.getElementById("drawer");
if (drawer) {
  new MutationObserver(() => { if (!drawer.open && drawer.querySelector("#drawer-body").childElementCount > 0) drawer.showModal(); })
    .observe(drawer.querySelector("#drawer-body"), { childList: true });
  drawer.addEventListener("close", () => drawer.querySelector("#drawer-body").replaceChildren());
  drawer.addEventListener("click", (e) => { if (e.target === drawer) drawer.close(); });
}

// --- copying
body.addEventListener("click", async (e) => {
  const button = e.target.closest("[data-copy]");
  if (!button) return;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Could not copy";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
});

// --- charts
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = [];

function axes(value) {
  const look = { stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
  return [{ ...look }, { ...look, values: value, size: 56 }];
}

function chart(id, series, value, range) {
  const box = document.getElementById(id);
  if (!box) return null;
  const width = () => Math.max(box.clientWidth, 200);
  const plot = new uPlot({
    width: width(), height: 200, cursor: { drag: { x: false, y: false } }, legend: { live: true },
    scales: { y: { range } },
    axes: axes(value),
    series: [{ value: (_, t) => (t ? new Date(t * 1000).toLocaleTimeString() : "–") }, ...series.map(([label, colour]) => ({ label, stroke: css(colour), width: 2, spanGaps: false, value: (_, v) => (v == null ? "–" : value(null, [v])[0]) }))],
  }, [[], ...series.map(() => [])], box);
  charts.push(() => plot.setSize({ width: width(), height: 200 }));
  return plot;
}

const whole = (_, ticks) => ticks.map((v) => (v >= 1e6 ? `${v / 1e6}M` : v >= 1e3 ? `${v / 1e3}k` : `${v}`));
const percent = (_, ticks) => ticks.map((v) => `${v} %`);
const millis = (_, ticks) => ticks.map((v) => `${v} ms`);
const fromZero = (_, _min, max) => [0, Math.max(max * 1.1, 1)];

function calibration() {
  const box = document.getElementById("chart-cal");
  const size = () => Math.min(Math.max(box.clientWidth, 200), 320);
  const plot = new uPlot({
    width: size(), height: size(), cursor: { show: false }, legend: { show: false },
    scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
    axes: axes((_, ticks) => ticks.map((v) => v.toFixed(1))),
    series: [{}, { stroke: css("--line"), width: 2 }, { stroke: css("--accent"), width: 2, points: { show: true, size: 7 } }],
  }, [[0, 1], [0, 1], [null, null]], box);
  return (points) => {
    const xs = [0, ...points.map((p) => p.predicted), 1];
    plot.setData([xs, xs, [null, ...points.map((p) => p.observed), null]]);
  };
}

async function overview() {
  const pool = chart("chart-pool", [["live", "--good"], ["resting", "--accent"], ["unsafe", "--bad"]], whole, fromZero);
  if (!pool) return;
  const right = chart("chart-right", [["answered", "--good"]], percent, () => [0, 100]);
  const time = chart("chart-time", [["median", "--accent"], ["95 %", "--bad"]], millis, fromZero);
  const honest = calibration();
  const draw = async () => {
    if (document.hidden) return;
    const resp = await fetch("/ui/history.json", { headers: { Accept: "application/json" } });
    if (!resp.ok) return;
    const { times, lines, calibration: points } = await resp.json();
    const pick = (...names) => [times, ...names.map((n) => lines[n] ?? [])];
    pool.setData(pick("live", "resting", "unsafe"));
    right.setData(pick("answered"));
    time.setData(pick("p50", "p95"));
    honest(points);
  };
  new ResizeObserver(() => charts.forEach((fit) => fit())).observe(document.getElementById("main"));
  for (;;) {
    await draw().catch(() => {});
    await new Promise((done) => setTimeout(done, 5000));
  }
}

listen();
overview();
