// A booking as a careful Node backend writes it: one plain statement after the other.
import { refusal } from './database.mjs';
import { check, deadline, firstMessages, notification } from './booking_rules.mjs';

export const begin = 'begin';

export async function book(client, userId, asked) {
  const customer = await lockCustomer(client, userId);
  const provider = await lockProvider(client, customer.id, asked);
  check(provider);
  const job = await insertJob(client, customer, provider, asked);
  const messages = firstMessages(asked, customer, provider);
  const chat = await openChat(client, job.id, customer, provider, messages);
  const notified = await notify(client, provider.userId, notification(customer, provider, job.id, chat.id));
  return { job, chat, customer, provider, notified };
}

async function one(client, text, values) {
  return (await client.query(text, values)).rows[0];
}

async function lockCustomer(client, userId) {
  const row = await one(client,
    `select c.id, u.first_name, u.last_name, u.banned_at
     from stm.customers c join stm.users u on u.id = c.user_id
     where c.user_id = $1
     for no key update of c for share of u`, [userId]);
  if (!row) throw refusal(404, 'no such customer');
  if (row.banned_at) throw refusal(403, 'this account is banned');
  return { id: row.id, userId, name: `${row.first_name} ${row.last_name}` };
}

// A separate statement takes the row lock, so that what decides is read after the wait for it.
async function lockProvider(client, customerId, asked) {
  const locked = await one(client,
    'select user_id, status, first_message_template from stm.providers where id = $1 for share', [asked.providerId]);
  const facts = locked && (await one(client,
    `select s.name, t.response_deadline_minutes, t.default_in_person_visit_cost_cents,
            exists (select from stm.provider_services where provider_id = $2 and service_id = s.id) as offers_service,
            exists (select from stm.provider_zip_codes where provider_id = $2 and zip_code = $4) as serves_zip_code,
            (select min(j.id) from stm.jobs j join stm.providers p on p.id = j.provider_id
             where j.customer_id = $1 and j.status = 'completed' and p.status <> 'banned') as unpaid_job_id,
            exists (select from stm.jobs
                    where customer_id = $1 and provider_id = $2 and status in ('new', 'in_progress')) as has_open_job,
            exists (select from stm.jobs where customer_id = $1 and status = 'new' and sp_accepted) as has_accepted_job
     from stm.services s, stm.settings t
     where s.id = $3 and s.status = 'approved'`, [customerId, asked.providerId, asked.serviceId, asked.zipcode]));
  if (!facts) throw refusal(404, 'no such service or provider');
  return {
    userId: locked.user_id,
    isActive: locked.status === 'active',
    template: locked.first_message_template,
    serviceName: facts.name,
    deadlineMinutes: facts.response_deadline_minutes,
    defaultVisitCents: facts.default_in_person_visit_cost_cents,
    offersService: facts.offers_service,
    servesZipCode: facts.serves_zip_code,
    unpaidJobId: facts.unpaid_job_id,
    hasOpenJob: facts.has_open_job,
    hasAcceptedJob: facts.has_accepted_job,
  };
}

async function insertJob(client, customer, provider, asked) {
  const visitCents = asked.visitCents ?? (asked.requiresInPersonVisit ? provider.defaultVisitCents : null);
  const row = await one(client,
    `insert into stm.jobs (customer_id, provider_id, service_id, status, price_cents, customer_budget_cents, zipcode,
                           location, answers, images, requires_in_person_visit, in_person_visit_cost_cents,
                           project_size_sqft, scheduled_at, preferred_at, response_deadline)
     values ($1, $2, $3, 'new', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14)
     returning id, created_at, response_deadline`,
    [customer.id, asked.providerId, asked.serviceId, asked.budgetCents ?? 0, asked.budgetCents, asked.zipcode,
      asked.location, JSON.stringify(asked.answers), asked.images, asked.requiresInPersonVisit, visitCents,
      asked.sizeSqft, asked.scheduledAt, deadline(provider)]);
  await client.query('insert into stm.job_events (job_id, actor_id, action, to_status) values ($1, $2, $3, $4)',
    [row.id, customer.userId, 'book', 'new']);
  return { id: row.id, createdAt: row.created_at, responseDeadline: row.response_deadline };
}

async function openChat(client, jobId, customer, provider, messages) {
  const chat = await one(client,
    'insert into stm.chats (job_id, last_seq) values ($1, $2) returning id, created_at', [jobId, messages.length]);
  await client.query(
    `insert into stm.chat_members (chat_id, user_id, side) values ($1, $2, 'customer'), ($1, $3, 'service_provider')`,
    [chat.id, customer.userId, provider.userId]);
  const values = [chat.id];
  const tuples = messages.map(({ sender, side, type, text }, index) => {
    const from = values.push(index + 1, sender, side, type, text) - 4;
    return `($1, $${from}, $${from + 1}, $${from + 2}, $${from + 3}, $${from + 4})`;
  });
  await client.query(
    `insert into stm.messages (chat_id, seq, sender_id, sender_type, message_type, message) values ${tuples}`, values);
  return { id: chat.id, createdAt: chat.created_at };
}

async function notify(client, userId, { title, message, metadata }) {
  const row = await one(client,
    `insert into stm.notifications (recipient_id, type, title, message, metadata) values ($1, 'job', $2, $3, $4)
     returning id, created_at`, [userId, title, message, metadata]);
  const { unread } = await one(client,
    'select count(*) as unread from stm.notifications where recipient_id = $1 and read_at is null', [userId]);
  return { id: row.id, createdAt: row.created_at, unreadCount: unread };
}
