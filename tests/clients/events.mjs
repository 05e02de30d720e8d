// Every event of the document, sent and received once at least, between two members and an LSM with several tabs.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Ajv } from "ajv";
import formats from "ajv-formats";
import { Client, baseUrl, check, http, run } from "./lib.mjs";
import { readContract, unseen } from "./contract.mjs";
import { sql } from "./sql.mjs";

/** The document itself is what the specification says. */
async function checkDocument() {
  const specification = JSON.parse(readFileSync(new URL("node_modules/@asyncapi/specs/schemas/3.0.0.json", import.meta.url)));
  const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false, unicodeRegExp: false });
  formats(ajv);
  const validate = ajv.compile(specification);
  check(validate(await readContract(baseUrl)), "the document is AsyncAPI 3", validate.errors);
}

const unread = async (role, { token }) => (await http("GET", `/chat/${role}/chats`, 200, { token }))[0].unreadCount;

/** Refused by acknowledgement and, without one, by `error`: with the same code, and a sentence that names what is wrong. */
async function refused(client, event, payload, code, named) {
  const { error } = await client.ask(event, payload);
  check(error?.code === code && error.message.includes(named), `${event} ${JSON.stringify(payload)} is refused as ${code}`, error);
  client.socket.emit(event, payload);
  const told = await client.next("error");
  check(isDeepStrictEqual(told, { ...error, event }), "the same without acknowledgement", told);
}

/** Offers are acknowledged to who makes or answers them, told to everybody in the chat, and refused to everybody else. */
async function negotiate({ room: [ann, annsPhone, pete], stranger, customer, chatId, jobId }) {
  const tell = async (event, expected) => {
    for (const client of [ann, annsPhone, pete]) {
      const told = await client.next(event);
      check(isDeepStrictEqual(told, { chatId, jobId, ...expected }), event, told);
    }
  };
  const own = (client, action) => refused(client, "respond_to_negotiation", { jobId, action, counter_proposed_price: 1 }, "wrong_state", "you cannot");

  const { offer, ...sent } = await pete.ask("send_negotiation_offer", { jobId, proposedPrice: 150, notes: "With parts" });
  check(sent.success === true && offer.offered_by === "service_provider" && offer.proposed_price === 150 && offer.status === "pending", "an offer", offer);
  await tell("negotiation_offer_sent", { offer });
  for (const action of ["accept", "decline", "counter"]) await own(pete, action);

  const { offer: counter, ...countered } = await ann.ask("respond_to_negotiation", { jobId, action: "counter", counter_proposed_price: 130 });
  check(countered.action === "counter" && counter.offered_by === "customer" && counter.proposed_price === 130, "a counter-offer", counter);
  await tell("negotiation_response", { action: "counter", respondedBy: "customer", offer: counter });
  await own(ann, "accept");

  for (const [event, payload, named] of [
    ["send_negotiation_offer", {}, "jobId"],
    ["send_negotiation_offer", { jobId: "x", proposed_price: 1 }, "jobId"],
    ["send_negotiation_offer", { jobId, proposed_price: "much" }, "proposed_price"],
    ["send_negotiation_offer", { jobId, proposed_price: -1 }, "proposed_price"],
    ["send_negotiation_offer", { jobId, proposed_date: "soon" }, "proposed_date"],
    ["send_negotiation_offer", { jobId, proposed_date: "2020-01-01" }, "proposed_date"],
    ["send_negotiation_offer", { jobId, proposed_price: 1, notes: "x".repeat(1001) }, "notes"],
    ["send_negotiation_offer", { jobId }, "proposed_price"],
    ["send_negotiation_offer", [jobId, 100], "object"],
    ["respond_to_negotiation", { jobId }, "action"],
    ["respond_to_negotiation", { jobId, action: "perhaps" }, "action"],
    ["respond_to_negotiation", { action: "accept" }, "jobId"],
    ["respond_to_negotiation", { jobId, action: "counter" }, "counter_proposed_price"],
    ["respond_to_negotiation", { jobId, action: "counter", counter_proposed_price: 0.001 }, "counter_proposed_price"],
    ["respond_to_negotiation", { jobId, action: "counter", counter_proposed_date: "2020-01-01" }, "counter_proposed_date"],
    ["respond_to_negotiation", { jobId, action: "counter", counter_notes: "x".repeat(1001) }, "counter_notes"],
  ]) {
    await refused(pete, event, payload, "invalid", named);
  }
  for (const id of [jobId, 999_999, -1]) {
    await refused(stranger, "send_negotiation_offer", { jobId: id, proposed_price: 1 }, "not_found", "job not found");
    await refused(stranger, "respond_to_negotiation", { jobId: id, action: "accept" }, "not_found", "job not found");
  }

  const accepted = await pete.ask("respond_to_negotiation", { jobId, action: "accept" });
  check(accepted.success === true && accepted.action === "accept" && !("offer" in accepted), "accepted", accepted);
  await tell("negotiation_response", { action: "accept", respondedBy: "service_provider", offer: null });
  const { offers } = await http("GET", `/chat/negotiation/job/${jobId}/history`, 200, customer);
  check(offers.map(({ status }) => status).join() === "countered,accepted", "nothing that was refused is stored", offers);
  for (const event of ["negotiation_offer_sent", "negotiation_response"]) check(stranger.all(event).length === 0, "no stranger is told", event);
}

await run(async ({ customer, provider, lsm, expiring, chatId }) => {
  await checkDocument();
  const [ann, annsPhone] = [new Client(customer.token), new Client(customer.token, { transports: ["polling"] })];
  for (const client of [ann, annsPhone]) await client.next("connected");
  // After Ann: she is told only of who comes online while she is.
  const pete = new Client(provider.token);
  await pete.next("connected");

  // Presence: to people who share the chat, once for several tabs.
  const online = await ann.next("presence");
  check(online.userId === provider.id && online.online === true && online.lastSeen === null, "Pete is online", online);
  const [listed] = await http("GET", "/chat/customer/chats", 200, customer);
  check(listed.provider.online === true && listed.provider.lastSeen === null, "presence in the list", listed);

  for (const client of [ann, annsPhone, pete]) await client.ask("join_chat", { chatId });
  check((await ann.next("user_joined")).userId === customer.id && (await ann.next("user_joined")).userId === provider.id, "user_joined");

  // Read marks: of the first message nobody but Pete has anything to read.
  check((await unread("provider", provider)) === 1 && (await unread("customer", customer)) === 0, "unread at first");
  for (const message of ["one", "two"]) await ann.ask("send_message", { chatId, message });
  check((await unread("provider", provider)) === 3 && (await unread("customer", customer)) === 0, "own messages are not unread");
  await pete.ask("send_message", { chatId, message: "three" });
  check((await unread("provider", provider)) === 3 && (await unread("customer", customer)) === 1, "sending is not reading");
  const marked = await pete.ask("mark_read", { chatId, seq: 2 });
  check(marked.seq === 2 && marked.userId === provider.id, "mark_read", marked);
  const read = await ann.next("messages_read");
  check(read.seq === 2 && read.userId === provider.id && read.chatId === chatId, "messages_read", read);
  check((await unread("provider", provider)) === 1, "one is left");
  check((await pete.ask("mark_read", { chatId, seq: 1 })).seq === 2, "a mark never goes back");
  check((await pete.ask("mark_read", { chatId, seq: 1_000_000 })).seq === 4, "nor beyond the end");
  check((await ann.ask("mark_read", { chatId })).seq === 4, "without seq to the end");
  check((await unread("provider", provider)) === 0 && (await unread("customer", customer)) === 0, "all is read");
  check((await pete.ask("mark_read", { chatId, seq: -1 })).error.code === "invalid", "a negative seq");

  // Typing reaches the others, not the typist's own socket, and not for every key.
  for (let n = 0; n < 20; n += 1) check((await pete.ask("typing", { chatId, isTyping: true })).isTyping === true, "typing");
  check((await ann.next("user_typing")).userId === provider.id && (await annsPhone.next("user_typing")).isTyping === true, "user_typing");
  await pete.ask("typing", { chatId, isTyping: false });
  check((await ann.next("user_typing")).isTyping === false, "typing stops at once");
  check(ann.all("user_typing").length <= 3 && pete.all("user_typing").length === 0, "typing is throttled", ann.all("user_typing"));

  // An LSM comes, is notified, joins, and goes; the room follows.
  sql(`insert into stm.chat_members (chat_id, user_id, side) values ('${chatId}', ${lsm.id}, 'local_service_manager')`);
  const came = await ann.next("lsm_joined");
  check(came.chatId === chatId && came.lsmName === "Lena Local" && came.lsmId > 0, "lsm_joined", came);
  const [lena, lenasTab] = [new Client(lsm.token), new Client(lsm.token)];
  for (const tab of [lena, lenasTab]) await tab.next("connected");
  const { count: before } = await http("GET", "/notifications/unread-count", 200, lsm);
  await ann.ask("send_message", { chatId, message: "Hello Lena" });
  for (const tab of [lena, lenasTab]) {
    const { notification, totalUnreadCount } = await tab.next("notification:created");
    check(notification.recipient_id === lsm.id && notification.message === "Hello Lena" && totalUnreadCount === before + 1, "every tab is notified", { notification, totalUnreadCount });
  }
  check((await http("GET", "/notifications/unread-count", 200, lsm)).count === before + 1, "the notification is a row");
  check((await lena.ask("join_chat", { chatId, afterSeq: 0 })).messages.length === 5, "an LSM catches up");
  sql(`update stm.chat_members set left_at = now() where user_id = ${lsm.id}`);
  check((await lena.next("left_chat")).chatId === chatId, "the LSM is put out");
  await ann.next("user_left");
  for (const [event, more] of [["typing", { isTyping: true }], ["mark_read", {}], ["leave_chat", {}], ["join_chat", {}], ["send_message", { message: "I am still here" }]]) {
    const answer = await lena.ask(event, { chatId, ...more });
    check(answer.error?.code === "forbidden", `${event} after the membership`, answer);
  }
  await pete.ask("send_message", { chatId, message: "She is gone" });
  await ann.next("new_message");

  const jobId = listed.job.id;
  await negotiate({ room: [ann, annsPhone, pete], stranger: lena, customer, chatId, jobId });

  check((await pete.ask("leave_chat", { chatId })).chatId === chatId && (await pete.next("left_chat")).chatId === chatId, "leave_chat");
  await ann.next("user_left");
  pete.socket.emit("leave_chat", { chatId });
  const error = await pete.next("error");
  check(error.code === "forbidden" && error.event === "leave_chat", "error without acknowledgement", error);

  // A closed chat lets nobody in, and whoever is in goes out.
  sql(`update stm.chats set closed_at = now() where id = '${chatId}'`);
  for (const client of [ann, annsPhone]) await client.next("left_chat");
  for (const [event, more] of [["mark_read", {}], ["join_chat", { afterSeq: 0 }], ["send_message", { message: "Anybody?" }], ["send_negotiation_offer", { jobId, proposed_price: 1 }]]) {
    const answer = await ann.ask(event, { chatId, ...more });
    check(answer.error?.code === "chat_closed", `${event} in a closed chat`, answer);
  }
  check((await http("GET", `/chat/${chatId}/messages`, 200, customer)).messages.length === 9, "a closed chat is kept");
  check(lena.all("new_message").length === 0, "no event after the membership", lena.all("new_message"));

  // A token that names no login is renewed before it expires.
  const renewed = new Client(expiring.token);
  const { expiresAt } = await renewed.next("token_expiring");
  const answer = await renewed.ask("authenticate", { token: lsm.token });
  check(Date.parse(answer.expiresAt) > Date.parse(expiresAt), "authenticate", answer);
  renewed.close();

  const left = unseen();
  check(left.length === 0, "every message of the document was seen", left);
  for (const client of [ann, annsPhone, pete, lena, lenasTab]) client.close();
  return { ok: true };
});
