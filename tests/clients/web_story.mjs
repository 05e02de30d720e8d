// A job from the first search to the dispute, as the web client lives it: every request is an example of calls.json with the
// ids of this run in place, and the sockets have the options of events.json. They send their token once, want no
// acknowledgements, give messages no ids, and join again after a reconnect.
import { events, examples, find } from "./contract/check.mjs";
import { Client, check, http, run } from "./lib.mjs";
import { sql } from "./sql.mjs";

/** The value of this run in place of an example's, with the example's type. */
const inPlace = (old, value) => (typeof old === "string" ? String(value) : value);

/** Two months ahead, in an example's own notation. */
const ahead = new Date(Date.now() + 60 * 864e5).toISOString().slice(0, 10);
const moved = (value) => (typeof value === "string" ? value.replace(/^\d{4}-\d\d-\d\d/, ahead) : value);

function filled(value, ids, name) {
  if (name in ids) return inPlace(value, ids[name]);
  if (value === null || typeof value !== "object") return moved(value);
  if (Array.isArray(value)) return value.map((item) => filled(item, ids));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner, ids, key)]));
}

/** Sends an example of a call: `at` are the values of its path, `ids` those of its body, by their names. */
async function send(method, path, { who, at = [], ids = {}, example = 0 } = {}) {
  const call = find(method, path);
  const { query, request } = examples(call)[example];
  const place = call.path.replace(/\{[^}]*\}/g, () => encodeURIComponent(at.shift()));
  const body = request && filled(request, ids);
  const search = query ? `?${new URLSearchParams(query)}` : "";
  return http(method, place + search, "2xx", { token: who?.accessToken, body });
}

/** A signed-in user with the page open: the socket, and the chat that is on the screen. */
class Page {
  constructor(session) {
    Object.assign(this, session);
    const { transports, reconnection, reconnectionDelay, reconnectionDelayMax, reconnectionAttempts, timeout, autoConnect, forceNew } = events.options;
    this.client = new Client(session.accessToken, { transports, reconnection, reconnectionDelay, reconnectionDelayMax, reconnectionAttempts, timeout, autoConnect, forceNew });
    this.client.socket.on("connect", () => this.chatId && this.emit("join_chat"));
  }

  emit(event, fields = {}) {
    const { payload } = events.emits.find((row) => row.event === event);
    this.client.socket.emit(event, { ...payload, chatId: this.chatId, ...fields });
  }

  async open(chatId) {
    this.chatId = chatId;
    await send("GET", "/chat/{id}/messages", { who: this, at: [chatId] });
    this.emit("join_chat");
    await this.client.next("joined_chat");
  }

  say(message) {
    this.emit("send_message", { message });
  }

  /** Waits for a text, which may have been written by somebody else or by REST. */
  async hears(part) {
    const { message } = await this.client.next("new_message");
    check(message.includes(part), `${this.user.role} hears ${part}`, message);
  }
}

/** Home: nobody is signed in, and looks for somebody who cleans houses. */
async function search() {
  await send("GET", "/services");
  await send("GET", "/homepage/search/services");
  await send("GET", "/homepage/search/locations");
  await send("GET", "/homepage/search/services/category/{category}", { at: ["Cleaning"] });
  const { data } = await send("POST", "/homepage/search/providers");
  return data.providers;
}

/** Both sign up; their LSM approves the provider. Returns their pages. */
async function register() {
  const email = (who) => `${who}-${process.pid}-${Date.now()}@demo.example`;
  const ann = new Page(await send("POST", "/auth/register", { ids: { email: email("ann") } }));
  const clara = new Page(await send("POST", "/auth/register", { ids: { email: email("clara") }, example: 1 }));
  for (const page of [ann, clara]) {
    await page.client.next("connected");
    await send("GET", "/auth/me", { who: page });
    await send("GET", "/notifications", { who: page });
  }
  const waiting = await http("GET", "/provider/dashboard", 403, { token: clara.accessToken });
  check(waiting.message.includes("pending"), "the page of those who wait", waiting);
  sql(`update stm.providers set status = 'active' where user_id = ${clara.user.id}`);
  const { services } = await send("GET", "/services");
  const { id: serviceId } = services.find(({ name }) => name === "House cleaning");
  await send("POST", "/provider/add-service", { who: clara, ids: { serviceId } });
  await send("PUT", "/provider/profile", { who: clara });
  await send("POST", "/provider/confirm-availability", { who: clara });
  const profile = await send("GET", "/provider/profile", { who: clara });
  check(profile.status.lastAvailabilityConfirmedAt !== null && profile.serviceAreas[0].zipcode === "10001", "her profile", profile);
  return [ann, clara];
}

/** The customer finds the provider, looks at the page, and books. */
async function book(ann, clara) {
  const [found] = (await search()).filter(({ ownerName }) => ownerName === "Clara Cleaner");
  check(found.location.split(",").length > 0 && found.experience >= 0, "a card in the list", found);
  const slug = `${found.businessName.toLowerCase().replaceAll(" ", "-")}-${found.id}`;
  const { data: page } = await send("GET", "/providers/{slug}", { at: [slug] });
  const serviceId = page.services.find(({ name }) => name === "House cleaning").id;
  const { job, chat } = await send("POST", "/jobs/create", { who: ann, ids: { serviceId, providerId: page.id } });
  const { notification } = await clara.client.next("notification:created");
  check(notification.type === "job", "she is notified", notification);
  const [listed] = await send("GET", "/chat/customer/chats", { who: ann });
  check(listed.id === chat.id && listed.job.id === job.id, "the chat is opened by the job", listed);
  return { jobId: job.id, chatId: chat.id, serviceId, providerId: page.id };
}

/** They talk; a connection drops and comes back by itself, and nothing is lost or doubled. */
async function talk(ann, clara, chatId) {
  for (const page of [ann, clara]) await page.open(chatId);
  ann.say("Do you bring your own tools?");
  await clara.hears("own tools");
  clara.say("I do");
  await ann.hears("I do");
  ann.client.socket.io.engine.close();
  clara.say("And a ladder");
  await ann.hears("And a ladder");
  ann.say("Very good");
  await clara.hears("Very good");
  for (const page of [ann, clara]) {
    const keys = page.client.all("new_message").map(({ id }) => id);
    check(new Set(keys).size === keys.length && keys.length === 2, "each once, and not to its sender", page.client.all("new_message"));
  }
}

/** Each side offers, and the other answers. Every line reaches both, because neither page adds one by itself. */
async function negotiate(ann, clara, jobId) {
  const both = async (text) => {
    for (const page of [ann, clara]) await page.hears(text);
    for (const who of [ann, clara]) await send("GET", "/chat/negotiation/job/{id}/history", { who, at: [jobId] });
  };
  await send("POST", "/provider/jobs/{id}/respond", { who: clara, at: [jobId], example: 2 });
  await both("$220.50");
  const { job, actions } = await send("GET", "/customers/jobs/{id}", { who: ann, at: [jobId] });
  check(job.editedAnswers.price === 220.5 && job.editedAnswers.notes === "A larger team is needed" && actions.canApproveEdits, "her offer", job);
  check(Object.values(job.editedAnswers).every((value) => typeof value !== "object") && !actions.canResend, "line by line", job);
  await send("POST", "/chat/negotiation/respond", { who: ann, ids: { job_id: jobId }, example: 2 });
  await both("$160.00");
  await send("POST", "/chat/negotiation/send-offer", { who: clara, ids: { job_id: jobId } });
  await both("$150.00");
  await send("POST", "/chat/negotiation/respond", { who: ann, ids: { job_id: jobId }, example: 1 });
  await both("decline");
  await send("POST", "/chat/negotiation/send-offer", { who: ann, ids: { job_id: jobId }, example: 1 });
  await both("New offer");
  await send("POST", "/chat/negotiation/respond", { who: clara, ids: { job_id: jobId } });
  await both("I accept the offer");
}

/** Agreed, done, paid. */
async function work(ann, clara, { jobId, serviceId, providerId }) {
  const status = async () => {
    const hers = await send("GET", "/customers/jobs/{id}", { who: ann, at: [jobId] });
    const listed = await send("GET", "/provider/jobs", { who: clara, example: 1 });
    check(listed.data[0].status === hers.job.status, "both see it", listed);
    await send("GET", "/provider/jobs/{id}", { who: clara, at: [jobId] });
    return hers.job.status;
  };
  await send("POST", "/customers/jobs/{id}/action", { who: ann, at: [jobId] });
  check((await status()) === "in_progress", "closed");
  await send("POST", "/provider/jobs/{id}/update-status", { who: clara, at: [jobId] });
  check((await status()) === "completed", "completed");
  const unpaid = await http("POST", "/jobs/create", 409, { token: ann.accessToken, body: { serviceId, providerId, zipcode: "10001" } });
  check(/unpaid/.test(unpaid.message) && unpaid.message.includes(`#${jobId}`), "the dialog with a link to the job", unpaid);
  await send("POST", "/provider/jobs/{id}/update-status", { who: clara, at: [jobId], example: 1 });
  check((await status()) === "paid", "paid");
  await send("GET", "/provider/dashboard", { who: clara });
  await send("GET", "/customers/dashboard", { who: ann });
}

/** The review, the complaint, and the LSM who joins the chat and leaves it. */
async function quarrel(ann, clara, lena, jobId, chatId) {
  const { jobs } = await send("GET", "/customers/pending-feedback", { who: ann });
  check(jobs[0].jobId === jobId, "she is asked for a review", jobs);
  await send("POST", "/customers/jobs/{id}/feedback", { who: ann, at: [jobId], example: 2 });
  const { data: reviews } = await send("GET", "/provider/reviews", { who: clara });
  await send("GET", "/provider/reviews/{id}", { who: clara, at: [reviews[0].id] });
  const stats = await send("GET", "/provider/reviews/stats", { who: clara });
  check(stats.averageRating === 2 && stats.averageResponseTime === 45, "her numbers", stats);

  await send("POST", "/customers/disputes", { who: ann, ids: { jobId } });
  const { data: disputes } = await send("GET", "/lsm/disputes", { who: lena });
  const details = () => send("GET", "/lsm/disputes/{id}", { who: lena, at: [disputes[0].id] });
  const { chatStatus, chatHistory } = await details();
  check(chatStatus.lsmInvited && !chatStatus.lsmJoined && chatHistory.length > 5, "Join Chat is offered", chatStatus);
  await send("POST", "/lsm/disputes/{id}/join-chat", { who: lena, at: [disputes[0].id] });
  check((await details()).chatStatus.lsmJoined, "and done");
  for (const page of [ann, clara]) check((await page.client.next("lsm_joined")).chatId === chatId, "lsm_joined");
  await send("GET", "/chat/lsm/chats", { who: lena });
  await lena.open(chatId);
  lena.say("A second visit?");
  for (const page of [ann, clara]) await page.hears("A second visit?");
  await send("POST", "/lsm/disputes/{id}/resolve", { who: lena, at: [disputes[0].id] });
  await lena.client.next("left_chat");
  const { data: resolved } = await send("GET", "/lsm/disputes", { who: lena, example: 1 });
  check(resolved[0].status === "resolved", "in the list of those resolved", resolved);
}

await run(async ({ lsm }) => {
  await search();
  const [ann, clara] = await register();
  const booked = await book(ann, clara);
  const { jobId, chatId } = booked;
  await talk(ann, clara, chatId);
  await negotiate(ann, clara, jobId);
  await work(ann, clara, booked);
  const lena = new Page({ accessToken: lsm.token, user: { id: lsm.id, role: "local_service_manager" } });
  await lena.client.next("connected");
  await quarrel(ann, clara, lena, jobId, chatId);
  for (const who of [ann, clara, lena]) {
    await send("GET", "/notifications", { who });
    await send("PATCH", "/notifications/mark-all-read", { who });
  }
  await send("POST", "/auth/logout", { who: ann });
  for (const { client } of [ann, clara, lena]) client.close();
  return { ok: true };
});
