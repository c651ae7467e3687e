// Live numbers from the API, every two seconds while the page is visible.

const every = 2000;
const el = (id) => document.getElementById(id);

async function read(path) {
  const resp = await fetch(path, { headers: { Accept: "application/json" } });
  if (!resp.ok) throw new Error(`${path}: ${resp.status}`);
  return resp.json();
}

// fill replaces the rows of a table. A cell is text, or [text, class].
function fill(id, rows, empty) {
  const body = el(id).tBodies[0];
  const columns = el(id).tHead.rows[0].cells.length;
  const made = rows.map((cells) => {
    const tr = document.createElement("tr");
    for (const cell of cells) {
      const td = document.createElement("td");
      const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
      td.textContent = text;
      if (kind) td.className = kind;
      tr.append(td);
    }
    return tr;
  });
  if (made.length === 0) {
    const td = document.createElement("td");
    td.colSpan = columns;
    td.className = "quiet";
    td.textContent = empty;
    const tr = document.createElement("tr");
    tr.append(td);
    made.push(tr);
  }
  body.replaceChildren(...made);
}

const percent = (part, whole) => (whole > 0 ? part === whole ? "100 %" : `${((100 * part) / whole).toFixed(1)} %` : "–");
const clock = (time) => (time ? new Date(time).toLocaleTimeString() : "never");

function numbers(stats) {
  for (const state of ["new", "live", "resting", "dead", "unsafe"]) el(state).textContent = stats.states[state] ?? 0;
  el("exits").textContent = stats.exits;
  el("checks").textContent = stats.last_minute.checks;
  el("served").textContent = stats.last_minute.requests;
  el("right").textContent = percent(stats.last_minute.answered, stats.last_minute.requests);
}

function proxies(page) {
  fill("proxies", page.items.map((p) => [
    p.url, [p.score.toFixed(2), "num"], [p.latency_ms ? `${p.latency_ms} ms` : "–", "num"], p.exit_ip || "–", p.country || "–", p.anonymity || "–",
    [`${p.checks.ok} / ${p.checks.failed}`, "num"], [`${p.uses.ok} / ${p.uses.failed}`, "num"],
  ]), "No proxy is live yet.");
}

function requests(page) {
  fill("requests", page.items.map((r) => [
    clock(r.at), [`${r.method} ${r.target}`, "wide"], [r.code || String(r.status), r.code ? "bad" : "good"],
    [String(r.attempts.length), "num"], [`${r.took_ms} ms`, "num"],
  ]), "No request yet.");
}

function sources(page) {
  const rows = page.items.filter((s) => s.enabled).map((s) => [
    s.name, [String(s.candidates), "num"], [String(s.worth.live), "num"], [String(s.worth.ever_live), "num"], clock(s.last_run),
    s.error ? [s.error, "bad wide"] : [s.last_run ? "ok" : "not yet", "quiet"],
  ]);
  fill("sources", rows, "No source is enabled.");
}

async function refresh() {
  if (document.hidden) return;
  try {
    const [stats, best, latest, lists] = await Promise.all([
      read("/api/stats"), read("/api/proxies?state=live&limit=20"), read("/api/requests?limit=15"), read("/api/sources").catch(() => ({ items: [] })),
    ]);
    numbers(stats);
    proxies(best);
    requests(latest);
    sources(lists);
    el("status").textContent = `updated ${new Date().toLocaleTimeString()}`;
    el("status").className = "";
  } catch (err) {
    el("status").textContent = `no answer: ${err.message}`;
    el("status").className = "error";
  }
}

async function loop() {
  await refresh();
  setTimeout(loop, every);
}

document.addEventListener("visibilitychange", refresh);
loop();
