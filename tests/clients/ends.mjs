// Sockets end with their token: by expiry, logout and ban; others stay.
import { Client, check, http, run } from "./lib.mjs";
import { sql } from "./sql.mjs";

async function ended(client, code) {
  const error = await client.next("error");
  check(error.code === code && error.event === "disconnect", "told why", error);
  check((await client.next("disconnected")).reason === "io server disconnect", "disconnected");
}

async function connect(token) {
  const client = new Client(token);
  client.socket.on("disconnect", (reason) => client.note("disconnected", { reason }));
  await client.next("connected");
  return client;
}

async function refused(token) {
  const client = new Client(token);
  check((await client.next("connect_error")).message.startsWith("unauthorized"), "does not come back");
}

await run(async ({ login, other, short, banned, chatId }) => {
  const session = await http("POST", "/auth/login", 200, { body: login });
  const bystander = await connect(other.token);

  const expiring = await connect(short.token);
  await ended(expiring, "token_expired");
  await refused(short.token);

  const tabs = [await connect(session.accessToken), await connect(session.accessToken)];
  await tabs[0].ask("join_chat", { chatId });
  await http("POST", "/auth/logout", 200, { token: session.accessToken });
  for (const tab of tabs) await ended(tab, "logged_out");
  await refused(session.accessToken);
  await http("POST", "/auth/refresh", 401, { body: { refreshToken: session.refreshToken } });
  const again = await http("POST", "/auth/login", 200, { body: login });
  (await connect(again.accessToken)).close();

  const banning = await connect(banned.token);
  sql(`update stm.users set banned_at = now() where id = ${banned.id}`);
  await ended(banning, "banned");
  await refused(banned.token);

  check(bystander.socket.connected && bystander.all("error").length === 0, "others stay", bystander.all("error"));
  bystander.close();
  return { ok: true };
});
