"use strict";
(() => {
  // The line below a table says what the pointed or focused number is made of.
  for (const figure of document.querySelectorAll("figure.table")) {
    const detail = figure.querySelector(".detail");
    if (!detail) continue;
    const idle = detail.textContent;
    const tell = (event) => {
      const link = event.target.closest("a[data-place]");
      detail.textContent = link ? `${link.dataset.place}: ${link.title || link.dataset.title}` : idle;
    };
    figure.addEventListener("mouseover", tell);
    figure.addEventListener("focusin", tell);
    figure.addEventListener("mouseleave", () => { detail.textContent = idle; });
  }

  const data = document.getElementById("player-data");
  if (!data) return;
  const players = JSON.parse(data.textContent);
  const get = (id) => document.getElementById(id);
  const [item, sound, speed, stage, play, scrub, clock] =
    ["item", "sound", "speed", "stage", "play", "scrub", "clock"].map(get);
  const FRAME = 1 / 25;
  const DRIFT = 0.06; // seconds; correcting less than that is heard as a click
  let videos = [];
  let playing = false;

  const length = () => Math.max(0, ...videos.map((v) => (Number.isFinite(v.duration) ? v.duration : 0)));
  // The longest video keeps the time, so that none is cut short.
  const master = () => videos.reduce((a, b) => ((b.duration || 0) > (a.duration || 0) ? b : a));

  function show(time) {
    scrub.max = String(length() || 1);
    scrub.value = String(time);
    clock.textContent = `${time.toFixed(2)} s`;
  }

  function seek(time) {
    const t = Math.min(Math.max(0, time), length());
    for (const v of videos) v.currentTime = Math.min(t, v.duration || t);
    show(t);
  }

  function listen() {
    videos.forEach((v, k) => {
      v.muted = String(k) !== sound.value;
      v.parentElement.classList.toggle("sounding", !v.muted);
    });
  }

  function run(on) {
    playing = on && videos.length > 0;
    play.textContent = playing ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(playing));
    for (const v of videos) {
      v.playbackRate = Number(speed.value);
      if (!playing) v.pause();
      else v.play().catch(() => run(false));
    }
    if (playing) requestAnimationFrame(tick);
  }

  function tick() {
    if (!playing) return;
    const lead = master();
    for (const v of videos) {
      const wanted = Math.min(lead.currentTime, v.duration || lead.currentTime);
      if (v !== lead && Math.abs(v.currentTime - wanted) > DRIFT) v.currentTime = wanted;
    }
    show(lead.currentTime);
    if (lead.ended) run(false);
    else requestAnimationFrame(tick);
  }

  function load(index) {
    run(false);
    const player = players[index];
    item.value = String(index);
    get("facts").textContent = [player.condition, player.facts].filter(Boolean).join(" · ");
    stage.replaceChildren();
    sound.replaceChildren();
    videos = player.tracks.map((track, k) => {
      const figure = document.createElement("figure");
      const video = document.createElement("video");
      Object.assign(video, { src: track.source, preload: "auto", playsInline: true, muted: true });
      video.setAttribute("aria-label", track.label);
      video.addEventListener("loadedmetadata", () => show(video.currentTime));
      const caption = document.createElement("figcaption");
      caption.textContent = track.label;
      figure.append(video, caption);
      figure.addEventListener("click", () => { sound.value = String(k); listen(); });
      stage.append(figure);
      sound.append(new Option(track.label, String(k)));
      return video;
    });
    listen();
    show(0);
  }

  item.addEventListener("change", () => load(Number(item.value)));
  sound.addEventListener("change", listen);
  speed.addEventListener("change", () => { for (const v of videos) v.playbackRate = Number(speed.value); });
  play.addEventListener("click", () => {
    if (!playing && length() && master().currentTime >= length() - FRAME) seek(0);
    run(!playing);
  });
  scrub.addEventListener("input", () => { run(false); seek(Number(scrub.value)); });
  get("back").addEventListener("click", () => { run(false); seek(master().currentTime - FRAME); });
  get("next").addEventListener("click", () => { run(false); seek(master().currentTime + FRAME); });
  for (const link of document.querySelectorAll("a[data-item]")) {
    link.addEventListener("click", () => load(Number(link.dataset.item)));
  }
  load(0);
})();
