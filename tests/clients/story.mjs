// The whole story of a job: a customer books a provider; they negotiate, work, pay, review and quarrel; their LSM settles
// it. After every step: the chat's lines, everybody's notifications, what the room was told, and the job as each side sees it.
import { isDeepStrictEqual } from "node:util";
import { Client, check, http, run } from "./lib.mjs";

const same = (seen, expected, what) => check(isDeepStrictEqual(seen, expected), `${what}: expected ${JSON.stringify(expected)}, seen`, seen);

/** Somebody with a socket, and all that should have reached it by now. */
class Person {
  /** What it found when joining, and what it has said since: the sender gets no copy of that. */
  lines = [];
  titles = [];

  constructor(side, { id, token }) {
    Object.assign(this, { side, id, token, client: new Client(token) });
  }

  get = (path) => http("GET", path, 200, this);
  post = (path, body, status = 201) => http("POST", path, status, { token: this.token, body });
  ask = (event, payload) => this.client.ask(event, payload);

  /** Enters the chat with all that was said in it. */
  async join(chatId) {
    const { messages, hasMore } = await this.ask("join_chat", { chatId, afterSeq: 0 });
    check(hasMore === false, "joins with everything", messages);
    this.lines = messages;
  }

  async say(chatId, message) {
    const { seq } = await this.ask("send_message", { chatId, message });
    this.lines.push({ seq, sender_type: this.side, message });
  }

  /** Every line that the socket has, in the order of `seq`. */
  heard() {
    return [...this.lines, ...this.client.all("new_message")].sort((a, b) => a.seq - b.seq);
  }

  /** Waits until an event has come so often. */
  async until(event, count) {
    const missing = () => count - this.client.all(event).length;
    for (let left = missing(); left > 0; left = missing()) await this.client.next(event);
  }
}

const line = ({ seq, sender_type, message }) => [seq, sender_type, message];
const may = (actions) => Object.keys(actions).filter((action) => actions[action]);

await run(async ({ customer: ann_, provider: pete_, lsm: lena_, strangers: strangers_, serviceId, providerId, zipcode }) => {
  const [ann, pete, lena] = [new Person("customer", ann_), new Person("service_provider", pete_), new Person("local_service_manager", lena_)];
  const strangers = [new Person("customer", strangers_[0]), new Person("service_provider", strangers_[1])];
  const everybody = [ann, pete, lena, ...strangers];
  for (const person of everybody) {
    check((await person.client.next("connected")).userId === person.id, "connected", person.side);
    // The LSM was told of her providers' registrations.
    await http("PATCH", "/notifications/mark-all-read", 200, person);
    await http("DELETE", "/notifications/clear-read", 200, person);
  }

  const date = (days) => new Date(Math.floor(Date.now() / 864e5 + days) * 864e5 + 36e6).toISOString();
  const inEnglish = (iso, style) => new Date(iso).toLocaleString('en-US', { ...style, timeZone: 'UTC' });
  const forPeople = (iso) =>
    `${inEnglish(iso, { dateStyle: 'long' })}, ${inEnglish(iso, { timeStyle: 'short' }).replace(/\s/, ' ')} UTC`;
  const [monday, tuesday] = [date(10), date(11)];
  let jobId, chatId;
  const said = []; // [seq, who, text], all that is in the chat
  const inRoom = new Set();
  const job = { price: 120.5, scheduledAt: monday, originalAnswers: { Rooms: "3", Floor: "2", requires_in_person_visit: false }, editedAnswers: null, spAccepted: false, pendingApproval: false, status: "new" };
  let payment = null;
  const can = { customer: [], provider: [] };

  /**
   * One step of the story, and all that it must have done: `says` are the new lines of the chat, `told` the new
   * notifications, `room` an event for everybody in the chat; `becomes`, `pays` and `can…` are the changes that both
   * parties see. What is not mentioned must not have changed, and nobody else must have been told anything.
   */
  async function step(what, act, { says = [], told = {}, room, becomes = {}, pays, customerCan, providerCan } = {}) {
    try {
      const answer = await act();
      said.push(...says.map(([who, text], index) => [said.length + index + 1, who.side, text]));
      Object.assign(job, becomes);
      if (pays) payment = pays;
      if (customerCan) can.customer = customerCan;
      if (providerCan) can.provider = providerCan;
      await checkChat();
      await checkNotifications({ [ann.side]: told.ann, [pete.side]: told.pete, [lena.side]: told.lena });
      if (room) await checkRoom(room);
      await checkViews();
      return answer;
    } catch (error) {
      error.message = `${what}: ${error.message}`;
      throw error;
    }
  }

  /** What was said is stored, and whoever is in the room has heard it: in order, without gaps, each line once. */
  async function checkChat() {
    for (const member of [ann, pete]) same((await member.get(`/chat/${chatId}/messages`)).messages.map(line), said, `the history of ${member.side}`);
    for (const member of inRoom) {
      await member.until("new_message", said.length - member.lines.length);
      const seqs = member.client.all("new_message").map(({ seq }) => seq);
      same(seqs, seqs.toSorted((a, b) => a - b), "in order");
      same(member.heard().map(line), said, `what ${member.side} has heard`);
      check(member.heard().every((message, index) => message.seq === index + 1), "1, 2, 3… without gaps", member.heard());
    }
  }

  /** The rows are there as soon as the step is answered, so that one too many is seen at once; then the sockets. */
  async function checkNotifications(told) {
    for (const person of everybody) {
      if (!strangers.includes(person)) person.titles.push(...(told[person.side] ?? []));
      const { notifications, total } = await person.get("/notifications?limit=100");
      same(notifications.map(({ title }) => title).reverse(), person.titles, `the notifications of ${person.side}`);
      check(total === person.titles.length, "their total", total);
      await person.until("notification:created", person.titles.length);
      const events = person.client.all("notification:created");
      same(events.map(({ notification }) => notification), [...notifications].reverse(), `what ${person.side}'s socket was told`);
      same(events.map(({ totalUnreadCount }) => totalUnreadCount), events.map((_, index) => index + 1), "the unread count");
      check(notifications.every((one) => one.recipient_id === person.id && one.recipient_type === person.side && one.metadata.jobId === jobId), "for nobody else", notifications);
    }
  }

  /** Everybody in the room is told of an offer or an answer. */
  async function checkRoom([event, expected]) {
    for (const member of inRoom) {
      const { offer, ...told } = await member.client.next(event);
      const terms = offer && { offered_by: offer.offered_by, proposed_price: offer.proposed_price, status: offer.status };
      same({ ...told, offer: terms }, { chatId, jobId, ...expected }, `${event} for ${member.side}`);
    }
  }

  /** Both parties see one job. */
  async function checkViews() {
    const [hers, his] = [await ann.get(`/customers/jobs/${jobId}`), await pete.get(`/provider/jobs/${jobId}`)];
    same(his.job, hers.job, "both see the same job");
    same(his.payment, hers.payment, "both see the same payment");
    const { proposedAt, ...edited } = hers.job.editedAnswers ?? {};
    check(job.pendingApproval === (proposedAt !== undefined), "an open offer has its time", hers.job);
    const seen = { ...hers.job, editedAnswers: hers.job.editedAnswers && edited };
    same(Object.fromEntries(Object.keys(job).map((key) => [key, seen[key]])), job, "the job");
    check((hers.job.paidAt !== null) === (job.status === "paid"), "when it was paid", hers.job.paidAt);
    same(hers.payment && { ...hers.payment, markedAt: hers.payment.markedAt !== null }, payment, "the payment");
    same(may(hers.actions), can.customer, "what the customer may do");
    same(may(his.actions), can.provider, "what the provider may do");
    same([hers.chatId, his.chatId], [chatId, chatId], "the chat");
  }

  const offer = (by, proposed_price) => ({ offered_by: by.side, proposed_price, status: "pending" });
  const sent = (by, price) => ["negotiation_offer_sent", { offer: offer(by, price) }];
  const countered = (by, price) => ["negotiation_response", { action: "counter", respondedBy: by.side, offer: offer(by, price) }];
  const answered = (by, action) => ["negotiation_response", { action, respondedBy: by.side, offer: null }];

  // Pete greets everybody who books him.
  await http("PUT", "/provider/email-templates", 200, { token: pete.token, body: { first_message_template: "Hello [CUSTOMER_NAME], thank you for asking for [SERVICE_NAME] at [LOCATION] on [SCHEDULED_DATE]." } });

  await step("Ann books Pete", async () => {
    const body = { serviceId, providerId, zipcode, location: "1 Main Street", answers: { Rooms: "3", Floor: "2" }, customerBudget: 120.5, preferredDate: monday };
    const booked = await ann.post("/jobs/create", body);
    [jobId, chatId] = [booked.job.id, booked.chat.id];
    for (const member of [ann, pete]) {
      await member.join(chatId);
      inRoom.add(member);
    }
  }, {
    says: [
      [ann, `New booking request: Plumbing\nLocation: 1 Main Street\nPreferred date: ${forPeople(monday)}\nBudget: $120.50\nFloor: 2\nRooms: 3`],
      [pete, `Hello Ann Archer, thank you for asking for Plumbing at 1 Main Street on ${forPeople(monday)}.`],
    ],
    told: { pete: ["New job request"] },
    customerCan: ["canCancel", "canResend"],
  });

  // First round: the provider's own route, then the socket.
  await step("Pete offers other terms", () => pete.post(`/provider/jobs/${jobId}/respond`, {
    action: "negotiate", negotiation: { editedAnswers: { Rooms: "4" }, editedPrice: 150, editedSchedule: tuesday, notes: "The kitchen counts too" },
  }, 200), {
    says: [[pete, `New offer: $150.00, ${forPeople(tuesday)}\nRooms: 4\nThe kitchen counts too`]],
    told: { ann: ["New offer"] },
    room: sent(pete, 150),
    becomes: { pendingApproval: true, editedAnswers: { price: 150, schedule: tuesday, notes: "The kitchen counts too", answers: "Rooms: 4" } },
    customerCan: ["canApproveEdits", "canCancel"],
  });
  await step("Ann counters", () => ann.ask("respond_to_negotiation", { jobId, action: "counter", counter_proposed_price: 130, counter_proposed_date: tuesday, counter_notes: "I bring the parts" }), {
    says: [[ann, `Counter-offer: $130.00, ${forPeople(tuesday)}\nI bring the parts`]],
    told: { pete: ["Counter-offer"] },
    room: countered(ann, 130),
    becomes: { editedAnswers: { price: 130, schedule: tuesday, notes: "I bring the parts" } },
    customerCan: ["canCancel"],
  });
  await step("Pete takes it", () => pete.ask("respond_to_negotiation", { jobId, action: "accept" }), {
    says: [[pete, `I accept the offer: $130.00, ${forPeople(tuesday)}`]],
    told: { ann: ["Offer accepted"] },
    room: answered(pete, "accept"),
    becomes: { price: 130, scheduledAt: tuesday, pendingApproval: false, editedAnswers: null, spAccepted: true },
    customerCan: ["canCloseDeal", "canCancel"],
  });

  // Second round, over REST.
  await step("Ann asks for less", () => ann.post("/chat/negotiation/send-offer", { job_id: jobId, proposed_price: 120 }), {
    says: [[ann, "New offer: $120.00"]],
    told: { pete: ["New offer"] },
    room: sent(ann, 120),
    becomes: { pendingApproval: true, editedAnswers: { price: 120 } },
  });
  await step("Pete counters", () => pete.post("/chat/negotiation/respond", { job_id: jobId, action: "counter", counter_proposed_price: 140 }), {
    says: [[pete, "Counter-offer: $140.00"]],
    told: { ann: ["Counter-offer"] },
    room: countered(pete, 140),
    becomes: { editedAnswers: { price: 140 } },
    customerCan: ["canApproveEdits", "canCloseDeal", "canCancel"],
  });
  await step("Ann declines", () => ann.post("/chat/negotiation/respond", { job_id: jobId, action: "decline" }), {
    says: [[ann, "I decline the offer."]],
    told: { pete: ["Offer declined"] },
    room: answered(ann, "decline"),
    becomes: { pendingApproval: false, editedAnswers: null },
    customerCan: ["canCloseDeal", "canCancel"],
  });
  await step("Pete makes a last offer", () => pete.post(`/provider/jobs/${jobId}/respond`, { action: "negotiate", negotiation: { editedAnswers: { Floor: "3" }, editedPrice: 132.5 } }, 200), {
    says: [[pete, "New offer: $132.50\nFloor: 3"]],
    told: { ann: ["New offer"] },
    room: sent(pete, 132.5),
    becomes: { pendingApproval: true, editedAnswers: { price: 132.5, answers: "Floor: 3" } },
    customerCan: ["canApproveEdits", "canCloseDeal", "canCancel"],
  });
  await step("Ann approves", () => ann.post(`/customers/jobs/${jobId}/action`, { action: "approve_edits" }, 200), {
    says: [[ann, "I accept the offer: $132.50"]],
    told: { pete: ["Offer accepted"] },
    room: answered(ann, "accept"),
    becomes: { pendingApproval: false, price: 132.5, editedAnswers: { Rooms: "3", Floor: "3" } },
    customerCan: ["canCloseDeal", "canCancel"],
  });

  // Work and money.
  await step("Ann closes the deal", () => ann.post(`/customers/jobs/${jobId}/action`, { action: "close_deal" }, 200), {
    told: { pete: ["Deal closed"] },
    becomes: { status: "in_progress" },
    customerCan: ["canCancel"],
    providerCan: ["canMarkComplete"],
  });
  await step("They talk", () => ann.say(chatId, "Ring twice"), { says: [[ann, "Ring twice"]] });
  await step("Pete is done", () => pete.post(`/provider/jobs/${jobId}/update-status`, { action: "mark_complete" }, 200), {
    told: { ann: ["Job completed"] },
    becomes: { status: "completed" },
    pays: { amount: 132.5, status: "pending", method: null, markedAt: false, notes: null },
    customerCan: [],
    providerCan: ["canMarkPayment"],
  });
  await step("Pete has the money", () => pete.post(`/provider/jobs/${jobId}/update-status`, { action: "mark_payment", paymentDetails: { method: "card", notes: "Visa" } }, 200), {
    told: { ann: ["Payment received"], pete: ["Payment received"] },
    becomes: { status: "paid" },
    pays: { amount: 132.5, status: "received", method: "card", markedAt: true, notes: "Visa" },
    customerCan: ["canGiveFeedback"],
    providerCan: [],
  });

  // It leaks.
  await step("Ann is not content", () => ann.post(`/customers/jobs/${jobId}/feedback`, { rating: 2, feedback: "It leaks again" }, 200), {
    told: { pete: ["New review"], lena: ["Low rating"] },
    customerCan: [],
  });
  const { disputeId } = await step("Ann disputes", () => ann.post("/customers/disputes", { jobId, description: "It leaks, and nobody comes" }), {
    told: { pete: ["Job disputed"], lena: ["New dispute"] },
  });
  const dispute = async (expected) => {
    const { data, pagination } = await lena.get("/lsm/disputes");
    check(pagination.total === 1 && data.length === 1, "one dispute", data);
    const [{ job, customer, provider, chatStatus, ...listed }] = data;
    const { id, status, description, resolutionNotes, raisedBy } = listed;
    same({ status, resolutionNotes, lsmInvited: chatStatus.lsmInvited, lsmJoined: chatStatus.lsmJoined }, expected, "the dispute");
    same([id, description, raisedBy, chatStatus.chatId, job.id, provider.id], [disputeId, "It leaks, and nobody comes", "customer", chatId, jobId, providerId], "what it is about");
    const { chatHistory, ...alone } = await lena.get(`/lsm/disputes/${disputeId}`);
    same(alone, { dispute: listed, job, customer, provider, chatStatus }, "the same alone");
    same(chatHistory.map(({ senderType, message }) => [senderType, message]), said.map(([, ...rest]) => rest), "what was said");
  };
  await dispute({ status: "pending", resolutionNotes: null, lsmInvited: true, lsmJoined: false });
  check((await lena.ask("join_chat", { chatId })).error.code === "forbidden", "not before she joins");

  // Lena comes.
  await step("Lena joins the chat", async () => {
    check((await lena.post(`/lsm/disputes/${disputeId}/join-chat`, {}, 200)).chatId === chatId, "join-chat");
    for (const party of [ann, pete]) {
      const { lsmName, chatId: where } = await party.client.next("lsm_joined");
      same([lsmName, where], ["Lena Local", chatId], "lsm_joined");
    }
    await lena.join(chatId);
    inRoom.add(lena);
    for (const party of [ann, pete]) while ((await party.client.next("user_joined")).userId !== lena.id);
  });
  await dispute({ status: "under_review", resolutionNotes: null, lsmInvited: true, lsmJoined: true });
  await step("Lena asks", () => lena.say(chatId, "Pete, will you mend it?"), { says: [[lena, "Pete, will you mend it?"]] });
  await step("Pete answers", () => pete.say(chatId, "On Friday, for nothing"), { says: [[pete, "On Friday, for nothing"]] });

  await step("Lena settles it, and is out", async () => {
    inRoom.delete(lena);
    await lena.post(`/lsm/disputes/${disputeId}/resolve`, { resolutionNotes: "Pete mends it on Friday" }, 200);
    check((await lena.ask("send_message", { chatId, message: "At once" })).error?.code === "forbidden", "at once");
    check((await lena.client.next("left_chat")).chatId === chatId, "left_chat");
    for (const party of [ann, pete]) check((await party.client.next("user_left")).userId === lena.id, "user_left");
    for (const [event, more] of [["send_message", { message: "One more thing" }], ["join_chat", {}], ["typing", { isTyping: true }]]) {
      check((await lena.ask(event, { chatId, ...more })).error?.code === "forbidden", `${event} afterwards`);
    }
    await http("GET", `/chat/${chatId}/messages`, 404, lena);
  }, { told: { ann: ["Dispute resolved"], pete: ["Dispute resolved"] } });
  await dispute({ status: "resolved", resolutionNotes: "Pete mends it on Friday", lsmInvited: false, lsmJoined: false });

  await step("The others go on without her", () => ann.say(chatId, "See you on Friday"), { says: [[ann, "See you on Friday"]] });
  check(lena.client.all("new_message").length === 1, "Lena has heard Pete's answer, and nothing after she was out", lena.client.all("new_message"));
  const times = (person) => ["negotiation_offer_sent", "negotiation_response", "lsm_joined"].map((event) => person.client.all(event).length);
  for (const [person, expected] of [[ann, [3, 5, 1]], [pete, [3, 5, 1]], [lena, [0, 0, 0]]]) same(times(person), expected, `how often ${person.side} was told`);
  for (const { client } of strangers) {
    for (const event of ["new_message", "notification:created", "negotiation_offer_sent", "negotiation_response", "lsm_joined", "user_joined", "presence"]) {
      check(client.all(event).length === 0, `nobody else gets ${event}`, client.all(event));
    }
  }
  for (const { client } of everybody) client.close();
  return { ok: true };
});
