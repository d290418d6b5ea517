"use strict";
/* The rater's page. All text enters the page as text, never as HTML. A vote is kept on the device before it is sent,
   and until the server says that it has it: a lost connection, a reload or a second press loses and doubles nothing. */
(() => {
  const still = window.mmbenchStudy || null; // the static page brings its study along and sends nothing
  const main = document.getElementById("main");
  const saved = document.getElementById("saved");
  const ways = document.getElementById("ways");
  const SIDES = [["left", "A is better"], ["tie", "No difference"], ["right", "B is better"]];
  let about = null, tasks = [], shownAt = 0, shownSlot = -1, sending = false, timer = 0, pause = 1000;

  /* What the device keeps, one entry a place, so that two windows do not overwrite each other's. */
  const memory = new Map();
  const key = (what) => `mmbench-study:${about.id}:${what}`;
  const keep = {
    get(what) {
      let text = memory.get(key(what));
      try { text = localStorage.getItem(key(what)) ?? text; } catch { /* no storage: this window's memory */ }
      try { return text ? JSON.parse(text) : null; } catch { return null; }
    },
    set(what, value) {
      const text = JSON.stringify(value);
      memory.set(key(what), text);
      try { localStorage.setItem(key(what), text); } catch { /* full or forbidden */ }
    },
    clear() {
      memory.clear();
      try {
        Object.keys(localStorage).filter((name) => name.startsWith(key(""))).forEach((name) => localStorage.removeItem(name));
      } catch { /* nothing was kept */ }
    },
  };

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (typeof value === "boolean") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  async function call(method, path, body) {
    const headers = {};
    const token = about && keep.get("token");
    if (token) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) return said;
    throw Object.assign(new Error(typeof said.detail === "string" ? said.detail : "The server refused."), { status: answer.status });
  }

  const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
  const voteAt = (slot) => keep.get(`vote:${slot}`);
  const slots = () => tasks.map((_, slot) => slot);
  const waiting = () => slots().filter((slot) => { const vote = voteAt(slot); return vote && !vote.sent; });
  const open = () => slots().filter((slot) => !voteAt(slot));

  function tellSaved(trouble) {
    const count = waiting().length;
    if (still) saved.textContent = `Answers are kept on this device: ${tasks.length - open().length} of ${tasks.length}.`;
    else if (!count) saved.textContent = trouble || "All answers are saved.";
    else saved.textContent = `${count === 1 ? "1 answer is" : `${count} answers are`} kept on this device and will be sent. ${trouble || ""}`;
  }

  async function send() {
    if (still || sending) return;
    sending = true;
    clearTimeout(timer);
    let trouble = "";
    try {
      for (let slot; (slot = waiting()[0]) !== undefined;) {
        const vote = voteAt(slot);
        try {
          const kept = await call("PUT", `api/votes/${slot}`, { revision: vote.revision, answers: vote.answers, seconds: vote.seconds });
          const now = voteAt(slot);
          if (now && now.revision <= kept.revision) keep.set(`vote:${slot}`, { ...now, ...kept, sent: true });
          pause = 1000;
        } catch (fault) {
          if (fault.status === 401) return gone(fault.message);
          if (fault.status === 404 || fault.status === 422) {
            keep.set(`vote:${slot}`, { ...vote, sent: true });
            trouble = fault.message;
            continue;
          }
          trouble = fault.status ? fault.message : "There is no connection just now.";
          timer = setTimeout(send, pause);
          pause = Math.min(pause * 2, 15000);
          return;
        }
      }
    } finally {
      sending = false;
      tellSaved(trouble);
    }
  }

  function show(title, ...children) {
    const heading = make("h1", { tabindex: "-1" }, title);
    main.replaceChildren(heading, ...children);
    document.title = title;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  function gone(message) {
    keep.clear();
    tasks = [];
    ways.hidden = true;
    saved.textContent = "";
    show("Not in the study", make("p", {}, message), make("p", {}, make("button", { type: "button", onclick: begin }, "First page")));
  }

  function begin() {
    const agreed = make("input", { type: "checkbox", id: "agreed" });
    const problem = make("p", { class: "problem", role: "alert" });
    const start = async (event) => {
      event.preventDefault();
      if (!agreed.checked) {
        problem.textContent = "Tick the box first, if you agree.";
        agreed.focus();
        return;
      }
      try {
        await join();
        await enter();
      } catch (fault) {
        problem.textContent = fault.status ? fault.message : "There is no connection just now. Try again.";
      }
    };
    show(about.title,
      make("p", { class: "lines" }, about.consent),
      make("form", { onsubmit: start },
        make("label", { class: "agree" }, agreed, make("span", {}, "I have read this, I am of age, and I agree.")),
        problem, make("button", { class: "main", type: "submit" }, "Begin")));
  }

  async function join() {
    if (keep.get("token")) return;
    if (still) {
      const wanted = /^#sheet=(\d+)$/.exec(keep.get("link") || "");
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      keep.set("sheet", wanted && Number(wanted[1]) < still.sheets.length ? Number(wanted[1]) : Math.floor(Math.random() * still.sheets.length));
      keep.set("token", [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
      return;
    }
    const invitation = (/^#invitation=([\w-]+)$/.exec(keep.get("link") || "") || [])[1] || "";
    keep.set("token", (await call("POST", "api/raters", { consent: true, invitation })).token);
  }

  async function enter() {
    if (still) tasks = still.sheets[keep.get("sheet")].map((place) => still.tasks[place]);
    else {
      const sheet = await call("GET", "api/sheet");
      tasks = sheet.tasks;
      for (const vote of sheet.votes) {
        const mine = voteAt(vote.slot);
        if (!mine || mine.sent || mine.revision <= vote.revision) keep.set(`vote:${vote.slot}`, { seconds: 0, ...mine, ...vote, sent: true });
      }
    }
    ways.hidden = false;
    tellSaved();
    send();
    const first = open()[0];
    const at = /^#(\d+)$/.test(location.hash) || location.hash === "#end";
    if (at) route();
    else history.replaceState(null, "", first === undefined ? "#end" : `#${first + 1}`), route();
  }

  function route() {
    if (!tasks.length) return;
    const number = /^#(\d+)$/.exec(location.hash);
    const slot = number ? Number(number[1]) - 1 : tasks.length;
    if (slot >= 0 && slot < tasks.length) task(slot);
    else end();
  }

  const go = (slot) => { location.hash = slot < tasks.length ? `#${slot + 1}` : "#end"; };

  /* The second press of a double click meets the next task: nobody judges one so fast. */
  const calmly = (act) => { if (performance.now() - shownAt > 250) act(); };

  function task(slot) {
    const { clips, pictures, prompt, instruction } = tasks[slot];
    const kept = voteAt(slot);
    const given = keep.get(`draft:${slot}`) || (kept ? kept.answers : {});
    shownAt = performance.now();
    shownSlot = slot;
    const problem = make("p", { class: "problem", role: "alert" });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const videos = clips.map((name, at) => {
      const label = clips.length > 1 ? `Clip ${"AB"[at]}` : "Clip";
      const video = make("video", { src: `media/${name}`, loop: true, muted: true, autoplay: !calm, playsInline: true, preload: "auto",
        disablepictureinpicture: "", "aria-label": label });
      video.addEventListener("error", () => { problem.textContent = `${label} does not play. Reload the page, or press "Does not play".`; });
      return video;
    });
    const together = (act) => () => videos.forEach(act);
    const person = pictures.map((name) => make("figure", { class: "person" },
      make("img", { src: `media/${name}`, alt: "The person that the clip should show" }), make("figcaption", {}, "The person")));
    const form = make("form", { onsubmit: (event) => { event.preventDefault(); calmly(() => submit(slot, form, problem)); }, onchange: () => keep.set(`draft:${slot}`, read(form)) },
      make("div", { class: "questions" }, ...about.questions.map((question) => ask(question, given))),
      problem,
      make("div", { class: "buttons" },
        make("button", { class: "main", type: "submit" }, "Next"),
        make("button", { type: "button", disabled: !slot, onclick: () => calmly(() => go(slot - 1)) }, "Back"),
        make("button", { type: "button", onclick: () => calmly(() => record(slot, {})) }, "Does not play")));
    const heading = make("h1", { tabindex: "-1" }, `${slot + 1} of ${tasks.length}`);
    main.replaceChildren(
      make("div", { class: "top" }, heading, make("progress", { max: tasks.length, value: slot, "aria-label": "Answered so far" })),
      ...(instruction ? [make("p", { class: "instruction" }, instruction)] : []),
      ...(prompt ? [make("p", { class: "prompt" }, make("b", {}, "Description: "), prompt)] : []),
      make("div", { class: "scene" }, ...person, ...videos.map((video, at) => make("figure", { class: "clip" }, video,
        ...(clips.length > 1 ? [make("figcaption", {}, `Clip ${"AB"[at]}`)] : [])))),
      make("div", { class: "buttons" },
        make("button", { type: "button", onclick: together((video) => (video.paused ? video.play() : video.pause())) }, "Play or pause"),
        make("button", { type: "button", onclick: together((video) => { video.currentTime = 0; video.play(); }) }, "From the start")),
      form);
    document.title = `${slot + 1} of ${tasks.length}`;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
    for (const name of (tasks[slot + 1] || { clips: [] }).clips) make("video", { preload: "auto", muted: true, src: `media/${name}` });
  }

  function ask(question, given) {
    const choices = about.kind === "pairs" ? SIDES : Array.from({ length: 10 }, (_, at) => [String(at + 1), String(at + 1)]);
    const boxes = choices.map(([value, text]) => make("label", {},
      make("input", { type: "radio", name: question.id, value, checked: String(given[question.id]) === value }), make("span", {}, text)));
    const ends = about.kind === "pairs" ? [] : [make("div", { class: "ends" }, make("span", {}, "worst"), make("span", {}, "best"))];
    return make("fieldset", {}, make("legend", {}, question.title, ...(question.hint ? [make("span", {}, ` ${question.hint}`)] : [])),
      make("div", { class: "choices" }, ...boxes), ...ends);
  }

  function read(form) {
    const said = Object.fromEntries(new FormData(form));
    return about.kind === "pairs" ? said : Object.fromEntries(Object.entries(said).map(([id, mark]) => [id, Number(mark)]));
  }

  function submit(slot, form, problem) {
    const answers = read(form);
    const lacking = about.questions.find((question) => !(question.id in answers));
    if (lacking) {
      problem.textContent = `Please answer "${lacking.title}" too.`;
      [...form.elements].find((box) => box.name === lacking.id).focus();
      return;
    }
    record(slot, answers);
  }

  function record(slot, answers) {
    if (slot !== shownSlot) return; // a second press that came late
    const kept = voteAt(slot);
    if (!kept || !same(kept.answers, answers)) {
      const seconds = Math.min(86400, Math.max(0, Math.round((performance.now() - shownAt) / 100) / 10));
      keep.set(`vote:${slot}`, { slot, revision: (kept ? kept.revision : 0) + 1, answers, seconds, sent: false });
    }
    keep.set(`draft:${slot}`, null);
    tellSaved();
    send();
    shownSlot = -1;
    go(slot + 1);
  }

  function end() {
    const left = open();
    const parts = [];
    if (left.length) {
      parts.push(make("p", {}, `${left.length} of ${tasks.length} are not answered yet. What you did answer counts.`),
        make("p", {}, make("button", { class: "main", type: "button", onclick: () => go(left[0]) }, "Go on")));
    } else parts.push(make("p", {}, "That was all. You may go back and change an answer."));
    if (still) parts.push(make("p", {}, still.afterwards || "Save the file of your answers and send it to those who asked you."),
      make("p", {}, make("button", { class: "main", type: "button", id: "file", onclick: file }, "Save my answers as a file")));
    show("Thank you", ...parts);
  }

  function file() {
    const votes = slots().map(voteAt).filter(Boolean).map(({ slot, revision, answers, seconds }) => ({ slot, revision, answers, seconds }));
    const said = { format: 1, study: about.id, rater: keep.get("token"), sheet: keep.get("sheet"), votes };
    const url = URL.createObjectURL(new Blob([JSON.stringify(said)], { type: "application/json" }));
    make("a", { href: url, download: `votes-${said.rater.slice(0, 8)}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  async function leave() {
    if (!confirm("Delete all your answers and leave the study?")) return;
    try {
      if (!still) await call("DELETE", "api/rater");
      clearTimeout(timer);
      gone("Your answers are deleted.");
      history.replaceState(null, "", "#");
    } catch (fault) {
      if (fault.status === 401) gone("Your answers are deleted.");
      else saved.textContent = `Not deleted yet: ${fault.status ? fault.message : "there is no connection just now"}. Try again.`;
    }
  }

  async function start() {
    const link = location.hash;
    try {
      about = still || (await call("GET", "api/study"));
      if (/^#(invitation|sheet)=/.test(link)) {
        keep.set("link", link);
        history.replaceState(null, "", "#"); // a token does not stay in the address
      }
      if (keep.get("token")) await enter();
      else begin();
    } catch (fault) {
      if (fault.status === 401) gone(fault.message);
      else show("The study cannot be reached", make("p", {}, fault.status ? fault.message : "There is no connection just now."),
        make("p", {}, make("button", { type: "button", onclick: start }, "Try again")));
    }
  }

  document.getElementById("finish").addEventListener("click", () => go(tasks.length));
  document.getElementById("leave").addEventListener("click", leave);
  addEventListener("hashchange", route);
  addEventListener("online", () => { pause = 1000; send(); });
  start();
})();
