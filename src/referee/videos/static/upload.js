// Sends a clip in pieces that go on where they stopped, and shows how far it is.
(() => {
  "use strict";

  const PIECE_BYTES = 8 * 1024 * 1024;
  const RETRIES_COUNT = 6;
  const form = document.querySelector("[data-video-upload]");
  if (!form) return;

  const find = (selector) => form.querySelector(selector);
  const TYPES = { mov: "video/quicktime", avi: "video/x-msvideo", webm: "video/webm", mkv: "video/x-matroska" };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = find("#clip").files[0];
    if (!file) return;
    const button = find("button[type=submit]");
    button.disabled = true;
    find("[data-upload-failure]").hidden = true;
    try {
      location.assign(`/ui/videos/${await send(file)}`);
    } catch (error) {
      find("[data-upload-failure]").hidden = false;
      find("[data-upload-reason]").textContent = error.message;
      button.disabled = false;
    }
  });

  async function send(file) {
    const memory = `referee-upload:${file.name}:${file.size}:${file.lastModified}`;
    let upload = await resume(memory);
    if (!upload) {
      const made = await ask("POST", "/v1/videos", describe(file));
      upload = { video: made.video.video_id, url: made.upload.url, position: made.upload.received_bytes };
      localStorage.setItem(memory, upload.video);
    }
    await sendPieces(file, upload);
    say("Checking", file.size, file.size);
    await ask("POST", `/v1/videos/${upload.video}/complete`, {});
    localStorage.removeItem(memory);
    return upload.video;
  }

  async function resume(memory) {
    const video = localStorage.getItem(memory);
    if (!video) return null;
    try {
      const opened = await ask("POST", `/v1/videos/${encodeURIComponent(video)}/upload`);
      return { video, url: opened.url, position: opened.received_bytes };
    } catch {
      localStorage.removeItem(memory);
      return null;
    }
  }

  function describe(file) {
    const value = (name) => find(`[name=${name}]`).value.trim();
    const ending = file.name.split(".").pop().toLowerCase();
    const fps = value("capture_fps");
    return {
      file_name: file.name,
      size_bytes: file.size,
      title: value("title"),
      player: value("player"),
      discipline: value("discipline"),
      handedness: value("handedness"),
      camera_view: value("camera_view"),
      capture_fps: fps ? Number(fps) : null,
      media_type: TYPES[ending] || "video/mp4",
      is_deep: find("[name=is_deep]").checked,
    };
  }

  async function sendPieces(file, upload) {
    let failures = 0;
    while (upload.position < file.size) {
      say("Sending", upload.position, file.size);
      const piece = file.slice(upload.position, upload.position + PIECE_BYTES);
      try {
        upload.position = (await put(upload, piece, file.size)).received_bytes;
        failures = 0;
      } catch (error) {
        failures += 1;
        if (failures > RETRIES_COUNT || error.isFinal) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** failures));
        upload.position = (await ask("GET", upload.url)).received_bytes;
      }
    }
  }

  function put(upload, piece, size) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", upload.url);
      request.setRequestHeader("Content-Range", `bytes ${upload.position}-${upload.position + piece.size - 1}/${size}`);
      request.setRequestHeader("X-CSRF-Token", token());
      request.upload.addEventListener("progress", (event) => say("Sending", upload.position + event.loaded, size));
      request.addEventListener("load", () => {
        const answer = JSON.parse(request.responseText || "{}");
        if (request.status === 200) resolve(answer);
        else reject(failure(answer, request.status));
      });
      request.addEventListener("error", () => reject(new Error("The connection was cut.")));
      request.send(piece);
    });
  }

  async function ask(method, url, body) {
    const headers = { "X-CSRF-Token": token() };
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    const value = await answer.json();
    if (!answer.ok) throw failure(value, answer.status);
    return value;
  }

  function failure(problem, status) {
    const error = new Error([problem.message || problem.detail || `The server answered ${status}.`].join(" "));
    error.isFinal = [403, 413, 422, 507].includes(status);
    return error;
  }

  function token() {
    const meta = document.querySelector('meta[name="csrf-token"]');
    return meta ? meta.content : "";
  }

  function say(word, sent, size) {
    const block = find(".upload-progress");
    block.hidden = false;
    find("[data-upload-word]").textContent = word;
    find("[data-upload-count]").textContent = `${(sent / 1e6).toFixed(1)} of ${(size / 1e6).toFixed(1)} MB`;
    find("progress").value = sent / size;
  }
})();
